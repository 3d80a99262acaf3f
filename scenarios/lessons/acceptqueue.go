package lessons

import (
	"fmt"
	"math"

	"mslab/results"
)

const (
	listenOverflows = "server.listen_overflows"
	synRetransmits  = "server.syn_retransmits"

	// firstRetry is when an unanswered SYN is sent again, in ns: the initial
	// retransmission timeout of RFC 6298, section 2.1, which is the kernel's
	// TCP_TIMEOUT_INIT (include/net/tcp.h).
	firstRetry = 1e9
)

func acceptQueue() Lesson {
	return Lesson{
		Question: "Why does the tail jump to 1 s when the accept queue overflows?",
		Before: `Two servers, phase 5 (pool) and phase 7 (keepalive), get the same load: 200
clients, each a new connection for each of its requests, none waiting between
them. Sixteen threads do the work in both. What differs under this load is the
backlog that they give to listen(2): 10 in phase 5, 1,024 in phase 7.

Think about it before you answer. A request takes the server well under a
millisecond. Where does the 30th of 200 clients wait that connect at once? Who
holds its place, and what does its kernel do when there is none? (p99 is the
latency that 99 of 100 requests do not exceed, connecting included.)
`,
		Scenario: `
name: accept-queue
about: The same load on a backlog of 10 and on one of 1,024.
matrix: {subject: [5, 7], clients: [200]}
arms:
  connect:
    about: many clients with a new connection for each request
    load: {requests-per-client: 20}
load: {connection: new, deadline: 250ms, timeout: 5s, warmup: 0s, seed: 1}
repeat: {blocks: 2}
probes: [proc, netstat]
`,
		Asks: []Ask{
			{"5", results.MetricP99, "the p99 latency of phase 5 (backlog 10)"},
			{"7", results.MetricP99, "the p99 latency of phase 7 (backlog 1024)"},
		},
		Evidence: []results.MetricColumn{
			{Metric: listenOverflows, Title: "overflows"},
			{Metric: synRetransmits, Title: "SYN again"},
			{Metric: results.MetricP50, Title: "p50"},
			{Metric: results.MetricP99, Title: "p99"},
			{Metric: results.MetricMax, Title: "max"},
			{Metric: "success.deadline", Title: "≤250ms %"},
		},
		NotShown: acceptQueueNotShown,
		Answer: `The kernel finishes a handshake by itself and puts the connection into the
listener's accept queue, where it waits for accept(2). The queue holds one more
than the backlog given to listen(2), which net.core.somaxconn caps: 11 in phase
5, 1,025 in phase 7. It is full when clients connect faster than the server's
one accepting thread takes them out, if only for a moment.

A SYN that meets a full queue is dropped without a word and counted in
TcpExtListenOverflows (column overflows). The client's kernel cannot tell that
from a packet lost on the way: it waits for its retransmission timer and sends
the SYN again (column SYN again). It has measured nothing on this connection
yet, so the timer is the initial one, 1 s, however short the way is (RFC 6298,
2.1; TCP_TIMEOUT_INIT in Linux). When that SYN is dropped too, RFC 6298 doubles
the timer: 1 s, then 2 s, then 4 s. Linux doubles it only after as many further
tries of 1 s as net.ipv4.tcp_syn_linear_timeouts says: 4 since version 6.5,
none before.

So a latency is what the server takes, or that plus a whole number of seconds,
and hardly anything between. A few lie near 0.2 s: there the queue filled up
after the SYN, the ACK that ends the handshake was dropped (and counted among
the overflows), and the request itself was sent again. The server's own figures
show nothing of all this, since it never saw those connections wait; nor does a
load generator that starts its clock after connect(2).
`,
		Next: []Command{
			{"mslab run overflow", "more phases and clients, and tcp_abort_on_overflow=1: resets, no waiting"},
			{"mslab serve --phase 5 --listen backlog1024", "phase 5 with the queue of phase 7; in another terminal:"},
			{"mslab load --clients 200 --connection new", "the tail of the server that runs"},
			{"mslab phases diff 5 7", "what else differs between the two"},
		},
	}
}

func acceptQueueNotShown(of Measured) string {
	overflows, p99, longest := of("5", listenOverflows), of("5", results.MetricP99), of("5", results.MetricMax)
	overflows7, longest7 := of("7", listenOverflows), of("7", results.MetricMax)
	switch {
	case math.IsNaN(overflows + longest + overflows7 + longest7):
		return "This run cannot tell: nothing valid was measured of one of the phases."
	case overflows == 0:
		return "This machine did not show the effect: the accept queue of phase 5 never overflowed, since it was emptied as fast as clients connected."
	case longest < firstRetry:
		return fmt.Sprintf("This machine showed half of the effect: the queue of phase 5 overflowed, but no request waited 1 s for it; the longest took %s.", results.FormatNS(longest))
	case overflows7 > 0:
		return "This machine did not show the difference as it should: overflows were counted while phase 7 played, too; the kernel counts those of all listeners together."
	case longest7 >= firstRetry:
		return "This machine did not show the difference as it should: requests to phase 7 took 1 s too, and its accept queue did not overflow."
	case p99 < firstRetry:
		return fmt.Sprintf("On this machine fewer than 1 in 100 requests met the full queue: the second shows in max, and p99 (%s) hides it.", results.FormatNS(p99))
	}
	return ""
}
