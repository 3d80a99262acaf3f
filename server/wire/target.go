package wire

import (
	"bytes"
	"net/netip"
)

// parseTarget finds path and query in a request target (RFC 9112 section 3.2)
// or says what is wrong with it.
func (s *Session) parseTarget(method, target []byte) (reason string) {
	if n := prefix(target, targetByte); n == 0 || n < len(target) {
		return "request target is empty or holds a character that is not allowed"
	}
	if !validPercent(target) {
		return "percent sign without two hexadecimal digits in the request target"
	}
	rest := target
	switch {
	case target[0] == '/':
	case target[0] == '*':
		if len(target) > 1 || string(method) != "OPTIONS" {
			return "request target is neither a path nor an http URL"
		}
	case string(method) == "CONNECT": // its authority-form asks for a tunnel
		return "request target is neither a path nor an http URL"
	default:
		if rest, reason = cutAuthority(target); reason != "" {
			return reason
		}
	}
	path, query := rest, rest[len(rest):]
	if i := bytes.IndexByte(rest, '?'); i >= 0 {
		path, query = rest[:i], rest[i+1:]
	}
	s.head.path, s.head.query = s.spanOf(path), s.spanOf(query)
	return ""
}

func validPercent(target []byte) bool {
	for {
		i := bytes.IndexByte(target, '%')
		if i < 0 {
			return true
		}
		if i+2 >= len(target) || !is(target[i+1], hexByte) || !is(target[i+2], hexByte) {
			return false
		}
		target = target[i+3:]
	}
}

// cutAuthority takes scheme and authority off an absolute-form target.
func cutAuthority(target []byte) (rest []byte, reason string) {
	i := bytes.IndexByte(target, ':')
	if i < 0 || !equalFold(target[:i], "http") && !equalFold(target[:i], "https") ||
		len(target) < i+3 || string(target[i:i+3]) != "://" {
		return nil, "request target is neither a path nor an http URL"
	}
	rest = target[i+3:]
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if !validAuthority(rest[:end]) {
		return nil, "invalid host in the request target"
	}
	return rest[end:], ""
}

// validAuthority reports whether b is a host with or without a port: a name or
// IPv4 address of reg-name characters (percent-encoding and user information
// are refused), or an IPv6 address in brackets.
func validAuthority(b []byte) bool {
	var port []byte
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !validIPv6(b[1:end]) {
			return false
		}
		port = b[end+1:]
	} else {
		n := prefix(b, hostByte)
		if n == 0 {
			return false
		}
		port = b[n:]
	}
	if len(port) == 0 {
		return true
	}
	for _, c := range port[1:] {
		if !isDigit(c) {
			return false
		}
	}
	return port[0] == ':'
}

func validIPv6(b []byte) bool {
	addr, err := netip.ParseAddr(string(b))
	return err == nil && addr.Is6() && addr.Zone() == ""
}
