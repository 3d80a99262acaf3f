package wire

import "strconv"

// AppendContinue appends the interim answer to a Continue.
func AppendContinue(dst []byte) []byte {
	return append(dst, "HTTP/1.1 100 Continue\r\n\r\n"...)
}

// AppendResponse appends the bytes of an answer. 204 and 304 have neither body
// nor length nor type. A field whose value could not stand in a header line
// (control characters) is left out rather than let it break the message; a
// Status outside 200-999 is written as 500.
func AppendResponse(dst []byte, r *Response) []byte {
	status := r.Status
	if status < 200 || status > 999 {
		status = 500
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, statusText(status)...)
	dst = append(dst, "\r\n"...)

	bodyless := status == 204 || status == 304
	if !bodyless {
		contentType := r.ContentType
		if contentType == "" {
			contentType = "application/json"
		}
		dst = appendField(dst, "Content-Type: ", contentType)
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = appendField(dst, "Date: ", r.Date)
	dst = appendField(dst, "X-Correlation-ID: ", r.CorrelationID)
	dst = appendField(dst, "Allow: ", r.Allow)
	if r.RetryAfter > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64(r.RetryAfter), 10)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case r.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case r.HTTP10:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	if bodyless || r.Head {
		return dst
	}
	return append(dst, r.Body...)
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	for i := range len(value) {
		if !is(value[i], valueByte) {
			return dst
		}
	}
	dst = append(dst, name...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// statusText returns the reason phrase (RFC 9110 section 15) of the statuses
// that the server answers with, "" for others: the phrase is optional.
func statusText(status int) string {
	switch status {
	case 200:
		return "OK"
	case 202:
		return "Accepted"
	case 204:
		return "No Content"
	case 304:
		return "Not Modified"
	case 400:
		return "Bad Request"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 414:
		return "URI Too Long"
	case 415:
		return "Unsupported Media Type"
	case 417:
		return "Expectation Failed"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 503:
		return "Service Unavailable"
	case 505:
		return "HTTP Version Not Supported"
	}
	return ""
}
