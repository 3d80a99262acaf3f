package server

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"mslab/server/sink"
)

// seedBody is a body in the original load's shape: its three metrics over and
// over, with white space, about 230 bytes each.
func seedBody(metrics int) []byte {
	shapes := []string{
		`"name": "cpu_usage",
            "value": %d.%02d,
            "type": "gauge",
            "tags": {
                "host": "server-%04d",
                "region": "us-east-1"
            }`,
		`"name": "memory_usage",
            "value": 42949672%02d.%02d,
            "type": "gauge",
            "tags": {
                "host": "server-%04d"
            }`,
		`"name": "requests_total",
            "value": %d%02d,
            "type": "counter",
            "tags": {
                "service": "api",
                "host": "server-%04d"
            }`,
	}
	var b strings.Builder
	b.WriteString("{\n    \"metrics\": [")
	for i := range metrics {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n        {\n            ")
		fmt.Fprintf(&b, shapes[i%3], 10+i%80, i%100, i/3)
		b.WriteString("\n        }")
	}
	b.WriteString("\n    ]\n}\n")
	return []byte(b.String())
}

type namedParser struct {
	name  string
	parse parseFunc
}

// parsers are the variants of the Parse stage, each with the validation that
// follows it on a request's way.
func parsers() []namedParser {
	return []namedParser{{"quadratic", validated(parseQuadratic)}, {"linear", validated(parseLinear)}}
}

func validated(parse parseFunc) parseFunc {
	return func(body []byte) ([]sink.Metric, error) {
		metrics, err := parse(body)
		if err == nil {
			err = validateBatch(metrics)
		}
		if err != nil {
			return nil, err
		}
		return metrics, nil
	}
}

// one wraps the members of a single metric into a body.
func one(members string) string { return `{"metrics":[{` + members + `}]}` }

// with is a valid metric and further members.
func with(members string) string { return one(`"name":"a","value":1,` + members) }

func many(n int) string {
	return `{"metrics":[` + strings.TrimSuffix(strings.Repeat(`{"name":"a","value":1},`, n), ",") + `]}`
}

// nested is an unknown field of a metric with this many arrays inside, at a
// depth of three already.
func nested(arrays int) string {
	return with(`"x":` + strings.Repeat("[", arrays) + strings.Repeat("]", arrays))
}

func metric(change func(*sink.Metric)) []sink.Metric {
	m := sink.Metric{Name: "a", Value: 1, Type: "gauge"}
	change(&m)
	return []sink.Metric{m}
}

func same(*sink.Metric) {}

func named(name string) []sink.Metric {
	return metric(func(m *sink.Metric) { m.Name = name })
}

func valued(value float64) []sink.Metric {
	return metric(func(m *sink.Metric) { m.Value = value })
}

func stamped(ms int64) []sink.Metric {
	return metric(func(m *sink.Metric) { m.TimestampMS, m.HasTimestamp = ms, true })
}

func tagged(pairs ...string) []sink.Metric {
	return metric(func(m *sink.Metric) {
		for i := 0; i < len(pairs); i += 2 {
			m.Tags = append(m.Tags, sink.Tag{Key: pairs[i], Value: pairs[i+1]})
		}
	})
}

type acceptCase struct {
	name, body string
	want       []sink.Metric
}

func acceptCases() []acceptCase {
	return []acceptCase{
		{"least", one(`"name":"a","value":1`), metric(same)},
		{"white space", " \t\r\n{ \"metrics\" :\n[ { \"name\" : \"a\" ,\t\"value\" : 1 } ] }\r\n ", metric(same)},
		{"all fields", one(`"name":"n","value":2.5,"type":"counter","tags":{"k":"v","l":"w"},"timestamp":1767322985678`),
			[]sink.Metric{{Name: "n", Value: 2.5, Type: "counter", TimestampMS: 1767322985678, HasTimestamp: true,
				Tags: []sink.Tag{{Key: "k", Value: "v"}, {Key: "l", Value: "w"}}}}},
		{"null type, null tags", with(`"type":null,"tags":null`), metric(same)},
		{"no tags in tags", with(`"tags":{}`), metric(same)},
		{"empty tag", with(`"tags":{"":""}`), tagged("", "")},
		{"keys with escapes", `{"\u006detrics":[{"n\u0061me":"a","\u0076alue":1,"t\u0061gs":{"\u006b":"v"}}]}`, tagged("k", "v")},
		{"other case is unknown", with(`"NAME":1,"Value":"x","Tags":3`), metric(same)},
		{"unknown fields", `{"a":[{},[],{"b":[1,2,{"c":null}]}],"metrics":[{"name":"a","x":{"y":[true,false,null,-1.5e+3,"\"]}"]},"value":1}],"z":"}"}`, metric(same)},
		{"brackets in strings", one(`"name":"]}","value":1,"tags":{"[{":"\"}]"}`),
			[]sink.Metric{{Name: "]}", Value: 1, Type: "gauge", Tags: []sink.Tag{{Key: "[{", Value: `"}]`}}}}},
		{"all escapes", one(`"name":"\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00","value":1`), named("\"\\/\b\f\n\r\té€😀")},
		{"escaped NUL", one(`"name":"\u0000","value":1`), named("\x00")},
		{"lone high surrogate", one(`"name":"\ud800x","value":1`), named("\ufffdx")},
		{"lone low surrogate", one(`"name":"\udc00","value":1`), named("\ufffd")},
		{"high, then a pair", one(`"name":"\ud83d\ud83d\ude00","value":1`), named("\ufffd😀")},
		{"high, then a letter's escape", one(`"name":"\ud83d\u0041","value":1`), named("\ufffdA")},
		{"noncharacters", one("\"name\":\"\ufffe\ufffd\U0010ffff\",\"value\":1"), named("\ufffe\ufffd\U0010ffff")},
		{"a name of 255 characters", one(`"name":"` + strings.Repeat("é", 255) + `","value":1`), named(strings.Repeat("é", 255))},
		{"1,000 metrics", many(1000), repeat(1000)},
		{"depth 10,000", nested(9997), metric(same)},

		{"last name wins", one(`"name":"b","value":1,"name":"a"`), metric(same)},
		{"a name after null", one(`"name":null,"value":1,"name":"a"`), metric(same)},
		{"a valid name after an empty one", one(`"name":"","value":1,"name":"a"`), metric(same)},
		{"a value after null", one(`"name":"a","value":null,"value":1`), metric(same)},
		{"last value wins, under an escaped key", one(`"name":"a","value":2,"v\u0061lue":1`), metric(same)},
		{"a valid type after an unknown one", with(`"type":"x","type":"gauge"`), metric(same)},
		{"null after a type", with(`"type":"counter","type":null`), metric(same)},
		{"last timestamp wins", with(`"timestamp":9223372036854775807,"timestamp":5`), stamped(5)},
		{"tags are replaced, not merged", with(`"tags":{"a":"1"},"tags":{"b":"2"}`), tagged("b", "2")},
		{"null after tags", with(`"tags":{"a":"1"},"tags":null`), metric(same)},
		{"last tag wins in the first one's place", with(`"tags":{"a":"1","b":"2","\u0061":"3"}`), tagged("a", "3", "b", "2")},
		{"two lone surrogates are one tag key", with(`"tags":{"\ud800":"1","\udfff":"2"}`), tagged("\ufffd", "2")},
		{"many tags", with(`"tags":{` + manyTags(40) + `,"k3":"new","k39":"new"}`), manyTagged(40)},
		{"last metrics win", `{"metrics":[{"name":"b","value":2},{}],"metrics":[{"name":"a","value":1}]}`, metric(same)},
		{"metrics after null", `{"metrics":null,"metrics":[{"name":"a","value":1}]}`, metric(same)},

		{"0", one(`"name":"a","value":0`), valued(0)},
		{"-0", one(`"name":"a","value":-0.0`), valued(math.Copysign(0, -1))},
		{"exponents", one(`"name":"a","value":1e5`), valued(1e5)},
		{"small", one(`"name":"a","value":-12.5E-3`), valued(-0.0125)},
		{"2^53+1", one(`"name":"a","value":9007199254740993`), valued(9007199254740992)},
		{"nearest of a long fraction", one(`"name":"a","value":0.1000000000000000055511151231257827`), valued(0.1)},
		{"20 digits", one(`"name":"a","value":18446744073709551616`), valued(18446744073709551616)},
		{"greatest", one(`"name":"a","value":1.7976931348623157e308`), valued(1.7976931348623157e308)},
		{"underflow", one(`"name":"a","value":1e-999999999999999999999`), valued(0)},
		{"an exponent of -2^64", one(`"name":"a","value":1e-18446744073709551616`), valued(0)},
		{"zero with a great exponent", one(`"name":"a","value":0e99999`), valued(0)},
		{"denormal", one(`"name":"a","value":4.9e-324`), valued(5e-324)},
		{"long exponent", one(`"name":"a","value":1e0000000000000000000002`), valued(100)},

		{"timestamp 0", with(`"timestamp":0`), stamped(0)},
		{"timestamp -0", with(`"timestamp":-0`), stamped(0)},
		{"first timestamp", with(`"timestamp":-62135596800000`), stamped(-62135596800000)},
		{"last timestamp", with(`"timestamp":253402300799999`), stamped(253402300799999)},
	}
}

func repeat(n int) []sink.Metric {
	metrics := make([]sink.Metric, n)
	for i := range metrics {
		metrics[i] = metric(same)[0]
	}
	return metrics
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":"v",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func manyTagged(n int) []sink.Metric {
	return metric(func(m *sink.Metric) {
		for i := range n {
			m.Tags = append(m.Tags, sink.Tag{Key: fmt.Sprintf("k%d", i), Value: "v"})
		}
		m.Tags[3].Value, m.Tags[39].Value = "new", "new"
	})
}

func TestParsersAccept(t *testing.T) {
	all := append(parsers(), namedParser{"oracle", oracle})
	for _, c := range acceptCases() {
		for _, p := range all {
			t.Run(c.name+"/"+p.name, func(t *testing.T) {
				got, err := p.parse([]byte(c.body))
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if d := difference(got, c.want); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

// refuseCases give a body and a part of the reason.
func refuseCases() [][3]string {
	return [][3]string{
		{"nothing", ``, "must be a JSON object"},
		{"white space only", " \n", "must be a JSON object"},
		{"BOM", "\ufeff" + one(`"name":"a","value":1`), "must be a JSON object"},
		{"array on top", `[{"name":"a","value":1}]`, "must be a JSON object"},
		{"null on top", `null`, "must be a JSON object"},
		{"no metrics", `{}`, "empty batch"},
		{"Metrics", `{"Metrics":[{"name":"a","value":1}]}`, "empty batch"},
		{"null metrics", `{"metrics":null}`, "empty batch"},
		{"empty metrics", `{"metrics":[]}`, "empty batch"},
		{"null after metrics", `{"metrics":[{"name":"a","value":1}],"metrics":null}`, "empty batch"},
		{"metrics no array", `{"metrics":{"name":"a","value":1}}`, "metrics must be an array"},
		{"metrics a number", `{"metrics":0}`, "metrics must be an array"},
		{"null metric", `{"metrics":[null]}`, "must be an object"},
		{"metric a string", `{"metrics":["a"]}`, "must be an object"},
		{"wrong metric replaced", `{"metrics":[1],"metrics":[{"name":"a","value":1}]}`, "must be an object"},
		{"1,001 metrics", many(1001), "more than 1,000 metrics"},
		{"350,000 metrics", `{"metrics":[` + strings.Repeat("{},", 349999) + `{}]}`, "more than 1,000 metrics"},
		{"1,001 metrics replaced", strings.TrimSuffix(many(1001), "}") + `,"metrics":[{"name":"a","value":1}]}`, "more than 1,000 metrics"},

		{"no name", one(`"value":1`), "metrics[0]: empty or missing name"},
		{"null name", one(`"value":1,"name":"a","name":null`), "empty or missing name"},
		{"empty name", one(`"name":"","value":1`), "empty or missing name"},
		{"name a number", one(`"name":1,"value":1`), "name must be a string"},
		{"wrong name replaced", one(`"name":1,"name":"a","value":1`), "name must be a string"},
		{"256 characters", one(`"name":"` + strings.Repeat("é", 256) + `","value":1`), "name over 255 characters"},
		{"the second", `{"metrics":[{"name":"a","value":1},{"name":"","value":1}]}`, "metrics[1]: empty or missing name"},
		{"no value", one(`"name":"a"`), "missing value"},
		{"null value", one(`"name":"a","value":1,"value":null`), "missing value"},
		{"value a string", one(`"name":"a","value":"1"`), "value must be a number"},
		{"value true", one(`"name":"a","value":true`), "value must be a number"},
		{"overflow", one(`"name":"a","value":1e999`), "value not finite"},
		{"negative overflow", one(`"name":"a","value":-1e99999999999999`), "value not finite"},
		{"an exponent of 2^64", one(`"name":"a","value":1e18446744073709551616`), "value not finite"},
		{"overflow replaced", one(`"name":"a","value":1e999,"value":1`), "value not finite"},
		{"unknown type", with(`"type":"Gauge"`), "type must be counter"},
		{"empty type", with(`"type":""`), "type must be counter"},
		{"type a number", with(`"type":1`), "type must be a string"},
		{"tags an array", with(`"tags":[]`), "tags must be an object"},
		{"wrong tags replaced", with(`"tags":1,"tags":{}`), "tags must be an object"},
		{"null tag", with(`"tags":{"a":null}`), "tag values must be strings"},
		{"null tag replaced", with(`"tags":{"a":null,"a":"b"}`), "tag values must be strings"},
		{"tag a number", with(`"tags":{"a":1}`), "tag values must be strings"},
		{"timestamp null", with(`"timestamp":null`), "timestamp must be an integer"},
		{"timestamp 1.5", with(`"timestamp":1.5`), "timestamp must be an integer"},
		{"timestamp 1.0", with(`"timestamp":1.0`), "timestamp must be an integer"},
		{"timestamp 1e3", with(`"timestamp":1e3`), "timestamp must be an integer"},
		{"timestamp a string", with(`"timestamp":"5"`), "timestamp must be an integer"},
		{"timestamp over int64", with(`"timestamp":9223372036854775808`), "timestamp must be an integer"},
		{"year 0", with(`"timestamp":-62135596800001`), "timestamp outside"},
		{"year 10000", with(`"timestamp":253402300800000`), "timestamp outside"},
		{"depth 10,001", nested(9998), "nested deeper"},
		{"unclosed at depth 1,000,000", `{"x":` + strings.Repeat("[", 1e6), "nested deeper"},
		{"second document", one(`"name":"a","value":1`) + `{}`, "more after the document"},
		{"NUL at the end", one(`"name":"a","value":1`) + "\x00", "more after the document"},
	}
}

// brokenBodies are no JSON in UTF-8, each for another reason.
func brokenBodies() []string {
	bodies := []string{
		`{`, `{"metrics"`, `{"metrics":`, `{"metrics":[`, `{"metrics":[{`, `{"metrics":[{"name`,
		`{"metrics":[{}`, `{"metrics":[{}]`, `{"metrics":[{},]}`, `{"metrics":[,{}]}`, `{"metrics":[{} {}]}`,
		`{"metrics":[{}],}`, `{,"metrics":[{}]}`, `{metrics:[{}]}`, `{'metrics':[{}]}`, `{"metrics" [{}]}`,
		`{"metrics"::[{}]}`, `{"metrics":[{}]]`, `{"metrics":[{}}]`,
	}
	valid := one(`"name":"a","value":1`)
	for i := 1; i < len(valid); i++ {
		bodies = append(bodies, valid[:i])
	}
	for _, value := range []string{
		`01`, `-`, `+1`, `.5`, `1.`, `1.e3`, `1e`, `1e+`, `-01`, `0x10`, `1_000`, `NaN`, `Infinity`, `-Infinity`, `--1`, `1 2`, `00`, `1f`,
		`nul`, `nulll`, `True`, `tru`, `falsey`, `undefined`, ``, `{]`, `[}`, `[1 2]`, `{"a" 1}`, `{"a":1 "b":2}`, `{1:2}`, `{"a":1,}`, `[1,]`, "/**/1",
	} {
		bodies = append(bodies, with(`"x":`+value), one(`"name":"a","value":`+value))
	}
	for _, text := range []string{
		`\x`, `\u12`, `\u123g`, `\U0041`, `\'`, `\`, "\n", "\t", "\x00", "\x1f",
		"\xff", "\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "é\xe9",
	} {
		bodies = append(bodies, with(`"x":"`+text+`"`), with(`"`+text+`":1`),
			one(`"name":"`+text+`","value":1`), with(`"tags":{"`+text+`":"v"}`), with(`"tags":{"k":"`+text+`"}`))
	}
	return append(bodies, valid+"\xff", "\xff"+valid, "{\u00a0}", `{"metrics":[{"name":"a","value":1}`+"\v]}")
}

func TestParsersRefuse(t *testing.T) {
	for _, c := range refuseCases() {
		if _, err := oracle([]byte(c[1])); err == nil {
			t.Errorf("%s: the oracle accepts it", c[0])
		}
		for _, p := range parsers() {
			t.Run(c[0]+"/"+p.name, func(t *testing.T) {
				if err := refusal(t, p, c[1]); !strings.Contains(err.reason, c[2]) {
					t.Errorf("reason %q does not say %q", err.reason, c[2])
				}
			})
		}
	}
}

func TestParsersRefuseBrokenJSON(t *testing.T) {
	for _, body := range brokenBodies() {
		if _, err := oracle([]byte(body)); err == nil {
			t.Errorf("the oracle accepts %q", body)
		}
		for _, p := range parsers() {
			refusal(t, p, body)
		}
	}
}

func refusal(t *testing.T, p namedParser, body string) (bad badRequest) {
	t.Helper()
	metrics, err := p.parse([]byte(body))
	if err == nil {
		t.Fatalf("%s accepts %d metrics in %q", p.name, len(metrics), body)
	}
	if !errors.As(err, &bad) {
		t.Fatalf("%s: %T (%v) is no badRequest", p.name, err, err)
	}
	if reason, want := strconv.Quote(bad.reason), `"`+bad.reason+`"`; reason != want {
		t.Errorf("%s: reason %s is not safe inside of JSON", p.name, reason)
	}
	return bad
}

// The metrics must survive the buffer that the body was read into.
func TestParsersCopy(t *testing.T) {
	for _, p := range parsers() {
		body := []byte(one(`"name":"a","value":1,"tags":{"k":"v"},"type":"gauge"`))
		got, err := p.parse(body)
		if err != nil {
			t.Fatal(err)
		}
		clear(body)
		if d := difference(got, tagged("k", "v")); d != "" {
			t.Errorf("%s: after the body was overwritten: %s", p.name, d)
		}
	}
}

// Random float64s, in the forms a client may write: each must read as strconv
// reads it, on the fast path or off it.
func TestNumbersReadAsStrconvDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fast := 0
	for range 50000 {
		digits := random.Uint64() >> random.IntN(64)
		literal := strconv.FormatUint(digits, 10)
		if cut := random.IntN(len(literal) + 1); cut > 0 && cut < len(literal) {
			literal = literal[:cut] + "." + literal[cut:]
		}
		if random.IntN(2) == 0 {
			literal += "e" + strconv.Itoa(random.IntN(60)-30)
		}
		want, err := strconv.ParseFloat(literal, 64)
		if err != nil {
			t.Fatal(err)
		}
		number := numberOf([]byte(literal))
		if got := number.float(); got != want {
			t.Fatalf("%s reads as %v, want %v", literal, got, want)
		}
		if number.isExact() {
			fast++
		}
	}
	if fast < 5000 {
		t.Errorf("only %d of 50,000 went the fast way: the test shows nothing about it", fast)
	}
}
