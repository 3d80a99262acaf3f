package scenarios

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
	"mslab/server"
)

// Options change a scenario for one run. Zero fields leave it as it is.
type Options struct {
	Phases []string // play these phases, by number or name, instead of the scenario's
	// Subjects are played instead of the scenario's, where there are any.
	Subjects   []SubjectSpec
	Clients    []int              // in every arm
	Connection loadgen.Connection // in every arm
	// Blocks of the ranked arms; of all arms where none is ranked.
	Blocks int
	// MinEffect is the smallest relative effect that counts, as a fraction, and
	// MinEffectFrom says where it comes from. Without the words it is the floor
	// of 1 %.
	MinEffect     float64
	MinEffectFrom string
	// Precision asks for blocks until every interval's half-width is at most this
	// fraction, in every ranked arm; Blocks is the least number then. Budget is
	// the time of the run under it, 0 for 10 minutes.
	Precision float64
	Budget    time.Duration
}

// Plan is a run with everything decided before the first server starts.
type Plan struct {
	Record results.Plan // as run.json keeps it
	Notes  []string     // what was decided that the scenario does not say

	arms      []armPlay // one for each of Record.Arms
	cores     cores
	probes    []string
	namespace bool
	specs     []SubjectSpec // one for each of Record.Subjects
	rest      *results.Run  // that the plan is the rest of; nil for a new run
}

// armPlay is what playing an arm needs beyond its record.
type armPlay struct {
	name     string
	subjects []player
	loads    []Load  // one number of clients each
	blocks   int     // the least where there is a goal
	goal     float64 // of precision; 0 for none
	expected int     // blocks in all, as far as can be told; while it plays
	slices   int
	sysctls  map[string]string
	steer    bool
	flags    map[string]string
	traced   bool // each subject's syscalls, after the blocks and under the first load
	faults   []Fault
}

// player is a subject in an arm.
type player struct {
	subject record.Subject
	spec    SubjectSpec
	phase   string            // the word for --phase; "" for a foreign subject
	flags   map[string]string // of serve
}

// NewPlan decides how to play a scenario on this machine.
func NewPlan(s *Scenario, o Options) (*Plan, error) {
	allowed, err := allowedCores()
	if err != nil {
		return nil, err
	}
	return newPlan(s, o, splitCores(allowed))
}

func newPlan(s *Scenario, o Options, c cores) (*Plan, error) {
	from, s := s, s.with(o)
	subjects, err := subjectsOf(s.Subjects)
	if err != nil {
		return nil, err
	}
	p := &Plan{cores: c, probes: s.Probes, namespace: s.Namespace, specs: s.Subjects, Record: results.Plan{
		Scenario: s.Name, About: s.About, Subjects: subjects, Seed: s.Arms[0].Load.Seed,
		MinEffect: o.MinEffect, MinEffectFrom: o.MinEffectFrom,
	}}
	if p.Record.MinEffectFrom == "" {
		p.Record.MinEffect, p.Record.MinEffectFrom = 0.01, "the floor of 1 %"
	}
	for _, arm := range s.Arms {
		if s.Shows {
			err = p.addShows(arm, len(o.Clients) > 0)
		} else {
			err = p.addArm(arm, subjects, p.neighbours(s))
		}
		if err != nil {
			return nil, err
		}
	}
	p.Notes = append(p.Notes, p.foreignNotes()...)
	p.raiseBlocks()
	if err := p.planAssertions(s); err != nil {
		return nil, err
	}
	if err := p.setGoals(s.Budget, o); err != nil {
		return nil, err
	}
	return p, p.keepSource(from, o)
}

// with is the scenario under the options.
func (s *Scenario) with(o Options) *Scenario {
	out := *s
	out.Arms = slices.Clone(s.Arms)
	if len(o.Phases) > 0 {
		out.replaceSubjects(Phases(o.Phases...))
	}
	if len(o.Subjects) > 0 {
		out.replaceSubjects(o.Subjects)
	}
	anyRanked := slices.ContainsFunc(s.Arms, func(a Arm) bool { return a.Ranked })
	for i := range out.Arms {
		arm := &out.Arms[i]
		if len(o.Clients) > 0 {
			arm.Load.Clients = o.Clients
		}
		if o.Connection != "" {
			arm.Load.Connection, arm.Load.Connections = o.Connection, nil
		}
		if o.Blocks > 0 && (arm.Ranked || !anyRanked) {
			arm.Blocks = o.Blocks
		}
	}
	out.withGoal(o)
	return &out
}

func recipeMap(r server.Recipe) map[string]string {
	m := map[string]string{}
	for _, info := range server.Stages() {
		m[string(info.Stage)] = r.Get(info.Stage)
	}
	return m
}

// neighbours are the pairs to compare: those that the scenario names, else each
// subject against the one before it.
func (p *Plan) neighbours(s *Scenario) []results.PairPlan {
	var pairs []results.PairPlan
	names := map[string]string{}
	for i, subject := range p.Record.Subjects {
		for _, word := range []string{s.Subjects[i].Phase, s.Subjects[i].Name} {
			names[word] = subject.Name
		}
		if i > 0 && s.Compare == nil {
			pairs = append(pairs, results.PairPlan{A: p.Record.Subjects[i-1].Name, B: subject.Name})
		}
	}
	for _, pair := range s.Compare {
		a, b := names[pair[0]], names[pair[1]]
		if a != "" && b != "" && a != b {
			pairs = append(pairs, results.PairPlan{A: a, B: b})
		}
	}
	return pairs
}

// addShows adds an arm for each neighbouring pair under the load that the newer
// one names. A pair that this machine cannot show is planned and not played.
func (p *Plan) addShows(base Arm, keepClients bool) error {
	subjects := p.Record.Subjects
	for i := 1; i < len(subjects); i++ {
		if subjects[i-1].Phase == nil || subjects[i].Phase == nil {
			return fmt.Errorf("plan arm %s: each pair plays under the load that its newer phase names, and %s or %s is no phase", base.Name, subjects[i-1].Name, subjects[i].Name)
		}
		newer, err := server.FindPhase(strconv.Itoa(*subjects[i].Phase))
		if err != nil {
			return err
		}
		arm := underShows(base, newer.Shows, keepClients)
		arm.Name = fmt.Sprintf("%d-%d", *subjects[i-1].Phase, newer.Number)
		pair := results.PairPlan{A: subjects[i-1].Name, B: subjects[i].Name}
		if want := newer.Shows.ServerCores; want > p.cores.forServer() {
			pair.CannotShow = fmt.Sprintf("needs %d server cores, %d here", want, p.cores.forServer())
			arm.Blocks = 0
		}
		if err := p.addArm(arm, subjects[i-1:i+1], []results.PairPlan{pair}); err != nil {
			return err
		}
	}
	return nil
}

// underShows is an arm under the load that brings a phase's change out.
func underShows(base Arm, shows server.Shows, keepClients bool) Arm {
	arm := base
	arm.About = shows.Why
	arm.Overrides = maps.Clone(base.Overrides)
	if arm.Overrides == nil {
		arm.Overrides = map[string]string{}
	}
	if shows.Clients > 0 && !keepClients {
		arm.Load.Clients = []int{shows.Clients}
	}
	if shows.Metrics > 0 {
		arm.Load.Metrics = shows.Metrics
	}
	if shows.SinkDelay > 0 {
		arm.Overrides["sink-delay"] = shows.SinkDelay.String()
	}
	if shows.RateLimit > 0 {
		arm.Overrides["rate-limit"] = strconv.Itoa(shows.RateLimit)
	}
	if shows.Keep {
		arm.Load.Connection = "keep"
	}
	arm.Load.SameClient = arm.Load.SameClient || shows.SameClient
	return arm
}

// addArm adds an arm to the record and to what is played.
func (p *Plan) addArm(arm Arm, subjects []results.SubjectPlan, pairs []results.PairPlan) error {
	play := armPlay{name: arm.Name, blocks: arm.Blocks, slices: arm.Slices, sysctls: arm.Sysctls, steer: arm.Steer, flags: arm.Overrides, faults: arm.Faults}
	entry := results.ArmPlan{Name: arm.Name, About: arm.About, Ranked: arm.Ranked, Blocks: arm.Blocks,
		Overrides: arm.Overrides, PrecisionGoal: arm.Precision, BudgetS: arm.Budget.Seconds()}
	if arm.Load.bounded() {
		play.slices = 1
	} else {
		entry.SliceS = arm.Load.Slice.Seconds()
	}
	entry.Slices = play.slices
	for _, f := range arm.Faults {
		entry.Faults = append(entry.Faults, f.record())
	}
	if arm.Ranked {
		entry.Pairs = pairs
		play.traced = slices.Contains(p.probes, probeSyscalls) && arm.Blocks > 0
	}
	for _, subject := range subjects {
		player, err := newPlayer(subject, p.specOf(subject.Name), arm.Overrides)
		if err != nil {
			return fmt.Errorf("plan arm %s: %w", arm.Name, err)
		}
		play.subjects = append(play.subjects, player)
		entry.Subjects = append(entry.Subjects, subject.Name)
	}
	if !anyPhase(subjects) {
		entry.Overrides, arm.Load.Metrics = nil, 0 // they are of phases
	}
	for _, load := range arm.Load.variants() {
		play.loads = append(play.loads, load)
		entry.Loads = append(entry.Loads, load.record(play.slices))
	}
	p.arms = append(p.arms, play)
	p.Record.Arms = append(p.Record.Arms, entry)
	return nil
}

// specOf finds what a subject of the plan was made of.
func (p *Plan) specOf(name string) SubjectSpec {
	for i, s := range p.Record.Subjects {
		if s.Name == name {
			return p.specs[i]
		}
	}
	return SubjectSpec{}
}

// newPlayer applies an arm's overrides to a phase's recipe, and over them the
// phase's own. They do not concern a foreign subject.
func newPlayer(subject results.SubjectPlan, spec SubjectSpec, overrides map[string]string) (player, error) {
	if spec.Foreign() {
		return player{subject: subject.Subject, spec: spec}, nil
	}
	phase, err := server.FindPhase(strconv.Itoa(*subject.Phase))
	if err != nil {
		return player{}, err
	}
	flags := maps.Clone(overrides)
	if flags == nil {
		flags = map[string]string{}
	}
	maps.Copy(flags, spec.Overrides)
	recipe, err := overridden(phase.Recipe, flags)
	if err != nil {
		return player{}, err
	}
	if err := recipe.Check(); err != nil {
		return player{}, fmt.Errorf("phase %d: %w", phase.Number, err)
	}
	played := subject.Subject
	played.Recipe = recipeMap(recipe)
	return player{subject: played, spec: spec, phase: strconv.Itoa(phase.Number), flags: flags}, nil
}

// record is the load as planned.
func (l Load) record(slices int) record.Load {
	out := record.Load{
		Clients: l.Clients[0], Arrival: "closed", Connection: string(l.Connection),
		Requests: l.Requests, RequestsPerClient: l.RequestsPerClient, WarmupS: l.Warmup.Seconds(),
		ThinkNS: int64(l.Think), DeadlineNS: int64(l.Deadline), TimeoutNS: int64(l.Timeout),
		Metrics: l.Metrics, Seed: l.Seed,
	}
	if len(l.Rates) > 0 {
		out.Arrival, out.Rate = string(loadgen.Constant), l.Rates[0]
	}
	switch l.bound() {
	case "":
		out.DurationS = l.Slice.Seconds() * float64(slices)
	case "its duration":
		out.DurationS = l.Duration.Seconds()
	}
	return out
}

// comparisons counts those that are made of one metric, over all arms.
func (p *Plan) comparisons() int {
	pairs := 0
	for _, arm := range p.Record.Arms {
		for _, pair := range arm.Pairs {
			if pair.CannotShow == "" {
				pairs += len(arm.Loads)
			}
		}
	}
	return pairs
}

// raiseBlocks gives ranked arms the blocks without which no verdict is given.
func (p *Plan) raiseBlocks() {
	pairs := p.comparisons()
	need := results.BlocksNeeded(pairs)
	for i := range p.arms {
		arm := &p.Record.Arms[i]
		if arm.PrecisionGoal > 0 || len(arm.Pairs) == 0 || arm.Blocks == 0 || arm.Blocks >= need {
			continue
		}
		p.Notes = append(p.Notes, fmt.Sprintf("Arm %s: %s raised to %d, without which nothing can be told of %s.",
			arm.Name, count(arm.Blocks, "block"), need, count(pairs, "comparison")))
		arm.Blocks, p.arms[i].blocks = need, need
	}
}

// count puts a number before a word.
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if strings.HasSuffix(word, "s") {
		word += "e"
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// Namespace says whether the run wants a network namespace of its own.
func (p *Plan) Namespace() bool { return p.namespace }

// What a stretch costs besides its load: readings, calibration and the drain
// of a slice, and the start and stop of a server.
const (
	sliceOverhead = 40 * time.Millisecond
	startOverhead = 150 * time.Millisecond

	// A load bounded by requests has no length of its own. It is estimated at
	// this rate, a low one for a server of one core that takes a connection for
	// each request, plus one SYN retransmit.
	boundedRate    = 4000
	boundedTail    = time.Second
	boundedWorkers = 16 // connections served at once where clients think on kept ones
)

// Duration is about how long the run will take.
func (p *Plan) Duration() time.Duration {
	var sum time.Duration
	for i, arm := range p.arms {
		blocks := arm.blocks
		if p.rest != nil {
			blocks = max(0, blocks-p.rest.FinishedBlocks(p.Record.Arms[i]))
		}
		sum += time.Duration(blocks)*arm.blockDuration() + arm.tracedDuration()
	}
	return sum
}

// A traced trial is sliced so that one can tell what slices differ by.
const (
	tracedSlices = 4
	tracedSlice  = 500 * time.Millisecond
)

// tracedDuration is how long the trials of the probe syscalls take.
func (a armPlay) tracedDuration() time.Duration {
	if !a.traced {
		return 0
	}
	return time.Duration(len(a.subjects)) * (startOverhead + a.loads[0].Warmup + tracedSlices*(tracedSlice+sliceOverhead))
}

func (a armPlay) blockDuration() time.Duration {
	var sum time.Duration
	for _, load := range a.loads {
		sum += time.Duration(len(a.subjects)) * (startOverhead + load.Warmup + time.Duration(a.slices)*(load.duration()+sliceOverhead))
	}
	return sum
}

// duration is the length of one stretch, estimated where requests bound it.
func (l Load) duration() time.Duration {
	switch l.bound() {
	case "":
		return l.Slice
	case "its duration":
		return l.Duration
	}
	clients := float64(l.Clients[0])
	each := float64(l.RequestsPerClient)
	if l.Requests > 0 {
		each = float64(l.Requests) / clients
	}
	work := time.Duration(clients * each / boundedRate * float64(time.Second))
	waves := 1.0
	if l.Connection == "keep" {
		waves = math.Ceil(clients / boundedWorkers)
	}
	return work + boundedTail + time.Duration(each*waves)*l.Think
}

// Describe writes what would be played and how long it would take, an entry for
// each arm.
func (p *Plan) Describe(w io.Writer) error {
	var b strings.Builder
	say := func(format string, args ...any) { b.WriteString(results.Wrap(fmt.Sprintf(format, args...)) + "\n") }
	say("%s: %s", p.Record.Scenario, p.Record.About)
	say("cores: %s", p.cores)
	for i, arm := range p.Record.Arms {
		play := p.arms[i]
		names := make([]string, 0, len(play.subjects))
		for _, s := range play.subjects {
			names = append(names, s.describe())
		}
		subjects := strings.Join(names, ", ")
		if arm.Blocks == 0 {
			say("arm %s: %s: cannot show here (%s)", arm.Name, subjects, arm.Pairs[0].CannotShow)
			continue
		}
		say("arm %s: %s: %s of %s, about %s%s", arm.Name, subjects, count(arm.Blocks, "block"), play.describeLoads(),
			(time.Duration(arm.Blocks) * play.blockDuration()).Round(time.Second), p.describeGoal(i))
		if play.traced {
			say("arm %s: then %s to count the syscalls of, about %s", arm.Name, count(len(play.subjects), "traced trial"),
				play.tracedDuration().Round(time.Second))
		}
	}
	for _, text := range p.Record.Assert {
		say("asserts at the end: %s", text)
	}
	for _, note := range p.Notes {
		say("%s", note)
	}
	if rest := p.Rest(); rest != "" {
		say("%s", rest)
	}
	say("about %s in all", p.Duration().Round(time.Second))
	_, err := io.WriteString(w, b.String())
	return err
}

func (a armPlay) describeLoads() string {
	load := a.loads[0]
	out := describeVariants(a.loads) + ", "
	switch {
	case load.RequestsPerClient > 0:
		return out + fmt.Sprintf("%d requests each", load.RequestsPerClient)
	case load.Requests > 0:
		return out + fmt.Sprintf("%d requests", load.Requests)
	case load.Duration > 0:
		return out + load.Duration.String() + " long" + describeFaults(a.faults)
	}
	return out + fmt.Sprintf("%d slices of %s", a.slices, load.Slice)
}

func describeFaults(faults []Fault) string {
	var b strings.Builder
	for _, f := range faults {
		fmt.Fprintf(&b, ", %s from %s to %s", f.Name, f.At, f.At+f.For)
	}
	return b.String()
}
