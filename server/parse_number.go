package server

import (
	"math"
	"strconv"
)

// jsonNumber is a number literal, read as mantissa x 10^exponent.
type jsonNumber struct {
	literal  []byte
	mantissa uint64 // all digits as one integer; only with digits <= 19
	digits   int    // of the mantissa, leading zeros counted
	exponent int
	// short is false where the exponent has too many digits to be kept.
	short    bool
	negative bool
}

// number passes a number literal.
func (s *jsonScanner) number() (jsonNumber, error) {
	start := s.pos
	n := jsonNumber{short: true}
	if s.peek() == '-' {
		n.negative = true
		s.pos++
	}
	leadingZero := s.peek() == '0'
	n.digits = s.digits(&n.mantissa)
	if n.digits == 0 {
		return n, s.syntaxError()
	}
	if leadingZero && n.digits > 1 {
		s.pos -= n.digits - 1
		return n, s.syntaxError()
	}
	if s.peek() == '.' {
		s.pos++
		fraction := s.digits(&n.mantissa)
		if fraction == 0 {
			return n, s.syntaxError()
		}
		n.digits += fraction
		n.exponent = -fraction
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		if err := s.exponent(&n); err != nil {
			return n, err
		}
	}
	n.literal = s.data[start:s.pos]
	return n, nil
}

func (s *jsonScanner) exponent(n *jsonNumber) error {
	s.pos++
	sign := s.peek()
	if sign == '+' || sign == '-' {
		s.pos++
	}
	var exponent uint64
	digits := s.digits(&exponent)
	switch {
	case digits == 0:
		return s.syntaxError()
	case digits > 4:
		n.short = false
	case sign == '-':
		n.exponent -= int(exponent)
	default:
		n.exponent += int(exponent)
	}
	return nil
}

// digits passes decimal digits, appends them to value (which wraps around
// beyond 19 of them) and returns their number.
func (s *jsonScanner) digits(value *uint64) int {
	v, i := *value, s.pos
	for i < len(s.data) {
		d := s.data[i] - '0'
		if d > 9 {
			break
		}
		v = v*10 + uint64(d)
		i++
	}
	count := i - s.pos
	*value, s.pos = v, i
	return count
}

// isExact tells whether mantissa and power of ten both are float64s without
// error: integers up to 2^53, powers up to 10^22.
func (n jsonNumber) isExact() bool {
	return n.short && n.digits <= 19 && n.mantissa <= 1<<53 && n.exponent >= -22 && n.exponent <= 22
}

// float is the float64 nearest to the literal; infinite where it overflows.
//
// One multiplication or division of two exact float64s rounds once and
// correctly (W. D. Clinger, How to Read Floating Point Numbers Accurately, PLDI
// 1990). Everything else goes through strconv.
func (n jsonNumber) float() float64 {
	if !n.isExact() {
		return n.slowFloat()
	}
	f := float64(n.mantissa)
	if n.exponent < 0 {
		f /= exactPowers[-n.exponent]
	} else {
		f *= exactPowers[n.exponent]
	}
	if n.negative {
		return -f
	}
	return f
}

func (n jsonNumber) slowFloat() float64 {
	f, err := strconv.ParseFloat(string(n.literal), 64)
	if err != nil { // the grammar was checked: only the range can be wrong
		return math.Inf(1)
	}
	return f
}

// finite is float, refused where it overflows.
func (n jsonNumber) finite() (float64, error) {
	f := n.float()
	if math.IsInf(f, 0) {
		return 0, errValueNotFinite
	}
	return f, nil
}

// exactPowers are the powers of ten that a float64 holds without error.
var exactPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}
