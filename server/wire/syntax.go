package wire

// class tells, for each byte, which parts of a message it may stand in.
type class uint8

const (
	tokenByte  class = 1 << iota // tchar of RFC 9110 section 5.6.2
	valueByte                    // field value: HTAB, SP, VCHAR, obs-text
	targetByte                   // request target: VCHAR but '#'
	hostByte                     // reg-name without percent-encoding
	hexByte                      // HEXDIG
)

var classes = classTable()

func classTable() (t [256]class) {
	for i := range t {
		c := byte(i)
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if alnum {
			t[i] |= tokenByte | hostByte
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[i] |= valueByte
		}
		if c > ' ' && c < 0x7f && c != '#' {
			t[i] |= targetByte
		}
		if _, ok := hexDigit(c); ok {
			t[i] |= hexByte
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= tokenByte
	}
	for _, c := range []byte("-._~!$&'()*+,;=") {
		t[c] |= hostByte
	}
	return t
}

func is(c byte, k class) bool { return classes[c]&k != 0 }

// prefix returns how many bytes at the start of b are of class k.
func prefix(b []byte, k class) int {
	for i, c := range b {
		if classes[c]&k == 0 {
			return i
		}
	}
	return len(b)
}

func isToken(b []byte) bool { return len(b) > 0 && prefix(b, tokenByte) == len(b) }

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// trim returns the part of b without the optional white space around it.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares b with an ASCII string that is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// nextElement cuts the first element off a comma-separated list.
func nextElement(list []byte) (element, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

const maxInt64 = 1<<63 - 1

// decimal reads 1*DIGIT up to 2^63-1.
func decimal(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (maxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// hexadecimal reads the hexadecimal digits at the start of b, at most 16 of
// them and up to 2^63-1, and returns how many there are.
func hexadecimal(b []byte) (n int64, digits int, ok bool) {
	for digits < len(b) {
		d, isDigit := hexDigit(b[digits])
		if !isDigit {
			break
		}
		if digits == 16 || n > maxInt64>>4 {
			return 0, digits, false
		}
		n = n<<4 | int64(d)
		digits++
	}
	return n, digits, digits > 0
}
