#!/usr/bin/env python3
"""Compares two run folders independently of mslab, and writes what it finds.

    compare.py BASE CANDIDATE > expected.json

It shares no code with mslab: JSON by Python's own reader, HDR histograms by the
decoder below (https://github.com/HdrHistogram/HdrHistogram, AbstractHistogram,
V2 compressed encoding), sign-flip p-values by scipy.stats.permutation_test,
Student's t by scipy.stats.t. The interval of the sign-flip test is read off the
means of all subsets of the blocks' values (Hartigan 1969), where mslab bisects.
Needs Python 3.11 with numpy and scipy (Debian: python3-scipy).
"""
import base64
import json
import math
import os
import struct
import sys
import zlib

import numpy as np
import scipy
from scipy import stats

ALPHA = 0.05
SLICED = {"server.cpu_ns_per_request": "cpu_ns_per_request", "rps.ok": "rps_ok"}
PERCENTILES = {"latency.p50": 50, "latency.p90": 90, "latency.p99": 99, "latency.p999": 99.9, "latency.max": 100}
RESAMPLES = 10_000


def read_run(folder):
    with open(os.path.join(folder, "run.json")) as f:
        run = json.load(f)
    run["trials"] = {}
    trials = os.path.join(folder, "trials")
    for name in sorted(os.listdir(trials)):
        with open(os.path.join(trials, name)) as f:
            t = json.load(f)
        c = t["counts"]
        assert c["sent"] == c["ok"] + c["failed"] + c["in_flight"], name
        run["trials"][t["arm"], t["block"], t["subject"]["name"]] = t
    return run


def usable(trial, metric):
    if trial is None or trial.get("incomplete") or not trial["verdict"]["valid"]:
        return False
    return metric.startswith("server.") or trial["verdict"]["comparable"]


def values(trial, metric):
    if metric in SLICED:
        return [s[SLICED[metric]] for s in sorted(trial["slices"], key=lambda s: s["order"])]
    return [trial["latency"][metric.removeprefix("latency.")]]


def block_values(base, candidate, arm, subject, blocks, metric):
    out = []
    for block in range(1, blocks + 1):
        a, b = (r["trials"].get((arm, block, subject)) for r in (base, candidate))
        if usable(a, metric) and usable(b, metric):
            logs = [math.log(y / x) for x, y in zip(values(a, metric), values(b, metric)) if x > 0 and y > 0]
            if logs:
                out.append(np.mean(logs))
    return np.array(out)


def sign_flip_p(x):
    test = stats.permutation_test((x,), lambda v, axis: np.mean(v, axis=axis), permutation_type="samples",
                                  n_resamples=np.inf, vectorized=True)
    return float(test.pvalue)


def subset_means(x):
    """The means of all subsets that are not empty, ascending."""
    n = len(x)
    members = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    return np.sort(members @ x / members.sum(axis=1))


def sign_flip_interval(x):
    """A shift d below the mean is rejected while 2 (1 + #{subset means <= d}) / 2^n < ALPHA."""
    k = math.ceil(ALPHA * 2 ** (len(x) - 1)) - 1
    if k < 1:
        return None
    means = subset_means(x)
    return [float(math.exp(means[k - 1])), float(math.exp(means[-k]))]


def holm(ps):
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    out, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, (len(ps) - rank) * ps[i])
        out[i] = min(1.0, highest)
    return out


def detectable(x, pairs):
    n = len(x)
    if n < 2:
        return None
    t = stats.t.ppf(1 - ALPHA / pairs / 2, n - 1) + stats.t.ppf(0.90, n - 1)
    return float(math.exp(t * np.std(x, ddof=1) / math.sqrt(n)) - 1)


def zigzag(data):
    """Signed integers of the ZigZag LEB128-64b9B encoding: the ninth byte has eight bits."""
    at = 0
    while at < len(data):
        value = shift = 0
        for i in range(9):
            byte = data[at]
            at += 1
            if i == 8:
                value |= byte << shift
                break
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        yield (value >> 1) ^ -(value & 1)


def histogram(encoded):
    """The counts by bucket's highest value."""
    outer = base64.b64decode(encoded)
    cookie, length = struct.unpack(">ii", outer[:8])
    assert cookie & ~0xF0 == 0x1C849304
    inner = zlib.decompress(outer[8:8 + length])
    cookie, length, _, digits, lowest, _, _ = struct.unpack(">iiiiqqd", inner[:40])
    assert cookie & ~0xF0 == 0x1C849303 and digits == 3 and lowest == 1
    half = 1 << (math.ceil(math.log2(2 * 10**digits)) - 1)  # sub-buckets a power of two
    counts, index = {}, 0
    for n in zigzag(inner[40:40 + length]):
        if n < 0:
            index -= n
            continue
        if n > 0:
            power, sub = index // half - 1, index % half + half
            if power < 0:
                power, sub = 0, sub - half
            counts[((sub + 1) << power) - 1] = n
        index += 1
    return counts


def percentile_pair(base, candidate, arm, subject, blocks, seed):
    sides = ([], [])
    for block in range(1, blocks + 1):
        trials = [r["trials"].get((arm, block, subject)) for r in (base, candidate)]
        if all(usable(t, "latency") and t["latency"]["count"] > 0 for t in trials):
            for side, t in zip(sides, trials):
                h = histogram(t["latency"]["hdr"])
                assert sum(h.values()) == t["latency"]["count"]
                side.append(h)
    n = len(sides[0])
    weights = np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=RESAMPLES)
    weights = np.vstack([np.ones(n, dtype=np.int64), weights])  # the first is the estimate
    found = []
    for side in sides:
        steps = np.array(sorted(set().union(*side)))
        upto = np.cumsum([[h.get(v, 0) for v in steps] for h in side], axis=1)
        per = {p: [] for p in PERCENTILES.values()}
        for w in weights:
            sums = w @ upto
            for p in per:
                rank = min(max(int(p / 100 * sums[-1] + 0.5), 1), sums[-1])
                per[p].append(steps[np.searchsorted(sums, rank)])
        found.append({p: np.array(v, dtype=float) for p, v in per.items()})
    tail = stats.norm.cdf(-stats.t.ppf(1 - ALPHA / 2, n - 1) * math.sqrt(n / (n - 1)))
    # mslab draws as often: five standard errors of the share cut off hold its end.
    off = 5 * math.sqrt(tail * (1 - tail) / 9_999)
    rows = []
    for metric, p in PERCENTILES.items():
        a, b = found[0][p], found[1][p]
        row = {"arm": arm, "subject": subject, "metric": metric, "a_ns": a[0], "b_ns": b[0], "ratio": b[0] / a[0], "blocks": n}
        if p < 100 and sign_flip_interval(np.zeros(n)) is not None:
            ratios = b[1:] / a[1:]
            ends = lambda q: [float(np.quantile(ratios, max(0.0, min(1.0, x)), method="inverted_cdf")) for x in q]
            row["low_between"] = ends([tail - off, tail + off])
            row["high_between"] = ends([1 - tail - off, 1 - tail + off])
        rows.append(row)
    return rows


def main(base, candidate):
    base, candidate = read_run(base), read_run(candidate)
    plan = candidate["plan"]
    cells = [(arm["name"], s["name"], arm["blocks"]) for arm in plan["arms"] if arm["ranked"] for s in plan["subjects"]]
    comparisons, percentiles = [], []
    for metric in list(SLICED) + list(PERCENTILES):
        samples = [block_values(base, candidate, *cell, metric) for cell in cells]
        alone = [sign_flip_p(x) for x in samples]
        for (arm, subject, _), x, p1, p in zip(cells, samples, alone, holm(alone)):
            ratio = float(math.exp(np.mean(x)))
            enough = len(x) >= 8 and 2.0 ** (1 - len(x)) * len(cells) < ALPHA
            comparisons.append({
                "arm": arm, "subject": subject, "metric": metric, "ratio": ratio, "interval": sign_flip_interval(x),
                "p_alone": p1, "p": p, "min_detectable": detectable(x, len(cells)), "blocks": len(x),
                "significant": enough and p < ALPHA and abs(math.log(ratio)) >= math.log1p(plan["min_effect"]),
            })
    for i, cell in enumerate(cells):
        percentiles += percentile_pair(base, candidate, *cell, seed=i)
    json.dump({"made_with": f"Python {sys.version.split()[0]}, numpy {np.__version__}, scipy {scipy.__version__}",
               "comparisons": comparisons, "percentiles": percentiles}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
