package server

import "bytes"

// The accessors of parseQuadratic. Each is given the bytes of one array or
// object whose syntax has been checked, and starts at their beginning. Those that
// most of its time passes in carry its name, so that a profile reads like the
// recipe.

// parseQuadraticCount counts the elements of an array by passing over all of
// them.
func parseQuadraticCount(array []byte) int {
	count := 0
	for at := firstInside(array); array[at] != ']'; at = afterValue(array, parseQuadraticValueEnd(array, at)) {
		count++
	}
	return count
}

// parseQuadraticElement is element i of an array, found by passing over those
// before it.
func parseQuadraticElement(array []byte, i int) []byte {
	at := firstInside(array)
	for ; i > 0; i-- {
		at = afterValue(array, parseQuadraticValueEnd(array, at))
	}
	return array[at:parseQuadraticValueEnd(array, at)]
}

// memberWalk passes over the members of an object from the first to the last.
type memberWalk struct {
	object []byte
	at     int
	key    jsonString
	value  []byte
}

// membersOf starts a walk before the first member.
func membersOf(object []byte) memberWalk {
	at := 0
	for object[at] != '{' {
		at++
	}
	return memberWalk{object: object, at: afterSpace(object, at+1)}
}

func (w *memberWalk) next() bool {
	if w.object[w.at] == '}' {
		return false
	}
	keyEnd := parseQuadraticValueEnd(w.object, w.at)
	w.key = stringOf(w.object[w.at:keyEnd])
	colon := afterSpace(w.object, keyEnd)
	value := afterSpace(w.object, colon+1)
	end := parseQuadraticValueEnd(w.object, value)
	w.value = w.object[value:end]
	w.at = afterValue(w.object, end)
	return true
}

// firstInside is the index of the first element of an array, or of its end.
func firstInside(array []byte) int { return afterSpace(array, 1) }

// afterValue is the index of the next element or member, or of the closing
// bracket.
func afterValue(container []byte, end int) int {
	end = afterSpace(container, end)
	if container[end] == ',' {
		end = afterSpace(container, end+1)
	}
	return end
}

func afterSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t' {
		i++
	}
	return i
}

// parseQuadraticValueEnd is the index after the value that starts at i. Of a
// container it looks for nothing but strings and brackets.
func parseQuadraticValueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return parseQuadraticStringEnd(b, i)
	case '{', '[':
		return parseQuadraticContainerEnd(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != ']' && b[i] != '}' && b[i] > ' ' {
		i++
	}
	return i
}

func parseQuadraticContainerEnd(b []byte, i int) int {
	for depth := 0; ; {
		for !structural[b[i]] {
			i++
		}
		switch b[i] {
		case '"':
			i = parseQuadraticStringEnd(b, i)
			continue
		case '{', '[':
			depth++
		default:
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// structural holds the bytes that matter for where a container ends.
var structural = [256]bool{'"': true, '{': true, '[': true, '}': true, ']': true}

func parseQuadraticStringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// stringOf takes a string literal out of its quotes.
func stringOf(literal []byte) jsonString {
	raw := literal[1 : len(literal)-1]
	return jsonString{raw: raw, escaped: bytes.IndexByte(raw, '\\') >= 0}
}

func numberOf(literal []byte) jsonNumber {
	s := jsonScanner{data: literal}
	checked, _ := s.number()
	return checked
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
