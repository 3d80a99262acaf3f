package loadgen

// timers is a binary min-heap of at most one due time for each id, with the
// position of every id at hand, so that a time can be moved or taken out.
type timers struct {
	due  []int64 // by id
	pos  []int   // by id; -1: not set
	heap []int   // ids
}

func newTimers(ids int) *timers {
	t := &timers{due: make([]int64, ids), pos: make([]int, ids), heap: make([]int, 0, ids)}
	for i := range t.pos {
		t.pos[i] = -1
	}
	return t
}

func (t *timers) has(id int) bool { return t.pos[id] >= 0 }

// first returns the earliest id and its time; ok is false where none is set.
func (t *timers) first() (id int, due int64, ok bool) {
	if len(t.heap) == 0 {
		return 0, 0, false
	}
	id = t.heap[0]
	return id, t.due[id], true
}

func (t *timers) set(id int, due int64) {
	t.due[id] = due
	if t.pos[id] < 0 {
		t.pos[id] = len(t.heap)
		t.heap = append(t.heap, id)
	}
	t.up(t.pos[id])
	t.down(t.pos[id])
}

func (t *timers) remove(id int) {
	i := t.pos[id]
	if i < 0 {
		return
	}
	last := len(t.heap) - 1
	t.swap(i, last)
	t.heap = t.heap[:last]
	t.pos[id] = -1
	if i < last {
		t.up(i)
		t.down(i)
	}
}

func (t *timers) less(i, j int) bool { return t.due[t.heap[i]] < t.due[t.heap[j]] }

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.pos[t.heap[i]], t.pos[t.heap[j]] = i, j
}

func (t *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.less(i, parent) {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			return
		}
		if right := child + 1; right < len(t.heap) && t.less(right, child) {
			child = right
		}
		if !t.less(child, i) {
			return
		}
		t.swap(i, child)
		i = child
	}
}
