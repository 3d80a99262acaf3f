package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/nftables"
)

// usersRules are rulesets that a user may have.
var usersRules = map[string]string{
	"none": "",
	"iptables": `table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy accept;
		iifname "lo" counter packets 0 bytes 0 accept
		tcp dport 22 accept
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain mine {
		ip saddr 10.0.0.0/8 return
	}
}
`,
	"output only": `table ip filter {
	chain OUTPUT {
		type filter hook output priority filter; policy accept;
		tcp dport 25 drop
	}
}
`,
	"empty filter": "table ip filter {\n}\n",
	"nft": `table inet firewall {
	set blocked {
		type ipv4_addr
		flags interval
		elements = { 192.0.2.0/24, 198.51.100.7 }
	}
	counter seen {
		packets 0 bytes 0
	}
	chain in {
		type filter hook input priority filter - 10; policy accept;
		iifname "lo" accept comment "all of loopback"
		ip saddr @blocked drop
		tcp dport { 22, 443 } accept
	}
}
table ip6 nat {
	chain post {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
`,
}

func TestUsersRulesStay(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	for name, rules := range usersRules {
		for _, via := range []string{viaNft, viaLease, viaIptables} {
			t.Run(name+" "+via, func(t *testing.T) {
				nft(t, "flush ruleset\n"+rules, "-f", "-")
				before := withoutCounters(ruleset(t))
				port, dir := listen(t, "127.0.0.1"), journal(t)
				i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}, Options: map[string]string{"via": via}}, options(dir))
				if err != nil {
					t.Fatal(err)
				}
				if during := withoutCounters(ruleset(t)); during == before {
					t.Error("no rule was added")
				}
				if err := i.Heal(t.Context()); err != nil {
					t.Fatal(err)
				}
				if after := withoutCounters(ruleset(t)); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
			})
		}
	}
	nft(t, "flush ruleset\n", "-f", "-")
}

// beyondIptables are rules that iptables does not understand.
const beyondIptables = `add set ip filter blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }
add rule ip filter INPUT ip saddr @blocked drop
add rule ip filter INPUT tcp dport vmap { 22 : accept, 23 : drop }
`

// TestRulesBeyondIptables has rules that iptables refuses to look at, from the
// beginning and from the middle of a fault on.
func TestRulesBeyondIptables(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	s := Spec{Fault: "partition", Options: map[string]string{"via": viaIptables, "direction": directionBoth}}
	nft(t, usersRules["iptables"]+beyondIptables, "-f", "-")
	before, dir := withoutCounters(ruleset(t)), journal(t)
	s.Target.Port = listen(t, "127.0.0.1")
	i, err := Inject(t.Context(), s, options(dir))
	if err == nil {
		err = i.Heal(t.Context())
	} else if errors.Is(err, ErrNotHealed) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, want a line, and nothing left", err)
	}
	t.Logf("from the beginning: %v", err)
	if after := withoutCounters(ruleset(t)); after != before || len(entriesIn(t, dir)) != 0 {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	nft(t, "flush ruleset\n"+usersRules["iptables"], "-f", "-")
	if i, err = Inject(t.Context(), s, options(dir)); err != nil {
		t.Fatal(err)
	}
	nft(t, beyondIptables, "-f", "-")
	if err := i.Heal(t.Context()); err != nil {
		t.Error(err)
	}
	if after := withoutCounters(ruleset(t)); after != before {
		t.Errorf("want:\n%s\nafter:\n%s", before, after)
	}
}

// TestRulesAreFoundByTheirMark deletes the rules of iptables without it.
func TestRulesAreFoundByTheirMark(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	s := Spec{Fault: "partition", Options: map[string]string{"via": viaIptables, "direction": directionBoth}}
	s.Target.Port = listen(t, "127.0.0.1")
	nft(t, usersRules["iptables"], "-f", "-")
	before := withoutCounters(ruleset(t))
	i, err := Inject(t.Context(), s, options(journal(t)))
	if err != nil {
		t.Fatal(err)
	}
	for mark, want := range map[string]int{"mslab-": 0, markOf(i.Status().ID): 2} {
		if n, err := deleteMarked(nftables.TableFamilyIPv4, mark); n != want || err != nil {
			t.Errorf("deleted %d, %v by %q, want %d", n, err, mark, want)
		}
	}
	if after := withoutCounters(ruleset(t)); after != before {
		t.Errorf("want:\n%s\nafter:\n%s", before, after)
	}
	if err := i.Heal(t.Context()); err != nil {
		t.Error(err)
	}
}

// withoutCounters takes the packets out that the test's own connections are.
func withoutCounters(rules string) string {
	var b strings.Builder
	for line := range strings.Lines(rules) {
		if before, after, ok := strings.Cut(line, "counter packets "); ok {
			fields := strings.SplitN(after, " ", 4) // N bytes M rest
			line = before + "counter packets N bytes M " + fields[3]
		}
		b.WriteString(line)
	}
	return b.String()
}

// TestRulesAddedMeanwhileStay has a user add rules to what iptables has made for
// a fault.
func TestRulesAddedMeanwhileStay(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	port, dir := listen(t, "127.0.0.1"), journal(t)
	i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}, Options: map[string]string{"via": viaIptables}}, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	nft(t, "", "add", "rule", "ip", "filter", "INPUT", "tcp", "dport", "25", "drop")
	if err := i.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := ruleset(t); !strings.Contains(after, "tcp dport 25 drop") || strings.Contains(after, fmt.Sprint(port)) {
		t.Errorf("after:\n%s", after)
	}
}

// TestOverlappingIptables heals two faults in the order in which they came: the
// second one found a table that the first one had caused.
func TestOverlappingIptables(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	before, dir := ruleset(t), journal(t)
	var faults []*Injection
	for range 2 {
		i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: listen(t, "127.0.0.1")}, Options: map[string]string{"via": viaIptables}}, options(dir))
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, i)
	}
	for _, i := range faults {
		if err := i.Heal(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if after := ruleset(t); after != before {
		t.Errorf("left:\n%s", after)
	}
}

// TestIptablesLegacy plays a partition with the older kind of iptables, whose
// rules nft does not see.
func TestIptablesLegacy(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	legacy, err := findTool("iptables-legacy")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(legacy, "-S").CombinedOutput(); err != nil {
		t.Skipf("iptables-legacy does not work here: %v: %s", err, out)
	}
	bin := t.TempDir()
	if err := os.Symlink(legacy, filepath.Join(bin, "iptables")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	playPartition(t, "127.0.0.1", map[string]string{"via": viaIptables, "direction": directionBoth})
	if out, err := exec.Command(legacy, "-S").Output(); err != nil || strings.Contains(string(out), "mslab") {
		t.Errorf("%v, left: %s", err, out)
	}
}
