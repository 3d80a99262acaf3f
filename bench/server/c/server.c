/* A server that does the least that HTTP/1.1 allows: one thread, edge-triggered
 * epoll, a constant answer to each request. It is what a load generator is held
 * against, since it is not the limit, and what a server can at best be.
 *
 *     cc -O2 -o server server.c && ./server [PORT]
 *
 * It listens on 127.0.0.1 (port 0, the default, is any), prints
 * "listening http://127.0.0.1:PORT", and at SIGTERM or SIGINT one line:
 *
 *     requests=N connections=C malformed=M span_ns=T
 *
 * N requests came whole and were answered, T is the time from the first of them
 * to the last, M connections were closed for what was no request. It understands
 * Content-Length, pipelined and split requests, bodies of any size (they are
 * dropped), HTTP/1.0 with and without keep-alive, and Connection: close. What it
 * does not understand (Transfer-Encoding, Expect, a head of over 8 KiB, a wrong
 * length) gets 400 and the end of the connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BODY "{\"success\":true,\"metrics_processed\":3}"
#define HEAD(status, more) \
	"HTTP/1.1 " status "\r\nContent-Type: application/json\r\n" more

static const char answer_keep[] = HEAD("200 OK", "Content-Length: 38\r\n\r\n") BODY;
static const char answer_keep_10[] =
	HEAD("200 OK", "Connection: keep-alive\r\nContent-Length: 38\r\n\r\n") BODY;
static const char answer_close[] =
	HEAD("200 OK", "Connection: close\r\nContent-Length: 38\r\n\r\n") BODY;
static const char answer_bad[] =
	HEAD("400 Bad Request", "Connection: close\r\nContent-Length: 0\r\n\r\n");
_Static_assert(sizeof(BODY) - 1 == 38, "Content-Length is that of BODY");

enum {
	IN_SIZE = 16384,     /* read at once */
	HEAD_LIMIT = 8192,   /* longest head */
	OUT_SIZE = 16384,    /* answers that wait for the socket */
	EVENTS = 256,
	BACKLOG = 4096,
};

/* The longest body that a request may announce. */
static const uint64_t body_limit = UINT64_C(1) << 40;

struct conn {
	int fd;
	bool closing;        /* ends once what is in out has gone */
	bool read_eof;
	uint64_t body_left;  /* of the request whose head has been read */
	size_t in_len, out_at, out_len;
	const char *answer;  /* to the request whose body is being read */
	char in[IN_SIZE];
	char out[OUT_SIZE];
};

struct server {
	int epoll, listener, signals;
	uint64_t requests, connections, malformed, first_ns, last_ns, now_ns;
};

static uint64_t monotonic_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
	fprintf(stderr, "server: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* answers_with appends to what waits for the socket; false without room. */
static bool answers_with(struct conn *c, const char *answer) {
	size_t n = strlen(answer);
	if (OUT_SIZE - c->out_len < n)
		return false;
	memcpy(c->out + c->out_len, answer, n);
	c->out_len += n;
	return true;
}

static bool is_field(const char *line, size_t n, const char *name) {
	size_t m = strlen(name);
	return n > m && line[m] == ':' && strncasecmp(line, name, m) == 0;
}

/* value_of is a field's value without the white space around it. */
static const char *value_of(const char *line, size_t n, size_t *length) {
	const char *v = memchr(line, ':', n), *end = line + n;
	for (v++; v < end && (*v == ' ' || *v == '\t'); v++)
		;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*length = (size_t)(end - v);
	return v;
}

/* parse_length reads digits and nothing else. */
static bool parse_length(const char *v, size_t n, uint64_t *length) {
	uint64_t sum = 0;
	if (n == 0 || n > 15)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9')
			return false;
		sum = sum * 10 + (uint64_t)(v[i] - '0');
	}
	*length = sum;
	return sum <= body_limit;
}

/* has_token finds a word in a list with commas. */
static bool has_token(const char *v, size_t n, const char *token) {
	size_t m = strlen(token);
	for (const char *end = v + n; v < end;) {
		while (v < end && (*v == ' ' || *v == '\t' || *v == ','))
			v++;
		const char *word = v;
		while (v < end && *v != ',')
			v++;
		const char *stop = v;
		while (stop > word && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		if ((size_t)(stop - word) == m && strncasecmp(word, token, m) == 0)
			return true;
	}
	return false;
}

/* parse_head reads a whole head (up to and with the empty line) and sets what
 * its request gets; false where it is no request. */
static bool parse_head(struct conn *c, const char *head, size_t n) {
	const char *end = head + n - 2, *line_end = memmem(head, n, "\r\n", 2);
	size_t first = (size_t)(line_end - head);
	/* METHOD SP TARGET SP HTTP/1.x */
	if (first < 14 || memcmp(line_end - 9, " HTTP/1.", 8) != 0 || (line_end[-1] != '0' && line_end[-1] != '1'))
		return false;
	const char *space = memchr(head, ' ', first);
	if (space == head || space >= line_end - 9 || memchr(space + 1, ' ', (size_t)(line_end - 9 - space - 1)))
		return false;
	bool old = line_end[-1] == '0', keep = !old, has_length = false;
	c->body_left = 0;
	for (const char *line = line_end + 2; line < end; line = line_end + 2) {
		line_end = memmem(line, (size_t)(head + n - line), "\r\n", 2);
		size_t length, m = (size_t)(line_end - line);
		const char *colon = memchr(line, ':', m), *value;
		if (!colon || colon == line || *line == ' ' || *line == '\t' || colon[-1] == ' ' || colon[-1] == '\t')
			return false;
		if (is_field(line, m, "Content-Length")) {
			uint64_t body;
			value = value_of(line, m, &length);
			if (!parse_length(value, length, &body) || (has_length && body != c->body_left))
				return false;
			has_length = true;
			c->body_left = body;
		} else if (is_field(line, m, "Connection")) {
			value = value_of(line, m, &length);
			if (has_token(value, length, "close"))
				keep = false;
			else if (old && has_token(value, length, "keep-alive"))
				keep = true;
		} else if (is_field(line, m, "Transfer-Encoding") || is_field(line, m, "Expect")) {
			return false;
		}
	}
	c->answer = !keep ? answer_close : old ? answer_keep_10 : answer_keep;
	return true;
}

/* finish answers the request that has come whole. */
static bool finish(struct server *s, struct conn *c) {
	if (!answers_with(c, c->answer))
		return false;
	s->requests++;
	s->last_ns = s->now_ns;
	if (s->first_ns == 0)
		s->first_ns = s->now_ns;
	c->closing = c->answer == answer_close;
	c->answer = NULL;
	return true;
}

/* refuse answers what is no request, and lets the connection end; false without
 * room for the answer. */
static bool refuse(struct server *s, struct conn *c) {
	if (!answers_with(c, answer_bad))
		return false;
	s->malformed++;
	c->closing = true;
	c->answer = NULL;
	return true;
}

/* take goes through what has been read; true where it stopped because the answers
 * have no room, false where it needs more. */
static bool take(struct server *s, struct conn *c) {
	size_t at = 0;
	bool full = false;
	while (!c->closing) {
		size_t have = c->in_len - at;
		if (c->answer) { /* its body */
			size_t here = have < c->body_left ? have : (size_t)c->body_left;
			at += here;
			c->body_left -= here;
			if (c->body_left > 0)
				break;
			if (!finish(s, c)) {
				full = true;
				break;
			}
			continue;
		}
		if (have == 0)
			break;
		const char *head = c->in + at, *stop = memmem(head, have, "\r\n\r\n", 4);
		size_t n = stop ? (size_t)(stop + 4 - head) : have;
		if (n > HEAD_LIMIT || (stop && !parse_head(c, head, n))) {
			full = !refuse(s, c);
			break;
		}
		if (!stop)
			break;
		at += n;
	}
	if (c->closing)
		at = c->in_len; /* what comes after is not answered */
	if (at > 0)
		memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	return full;
}

static void drop(struct conn *c) {
	close(c->fd); /* which takes it out of epoll */
	free(c);
}

/* end closes after the last answer. What the client has sent beyond is read
 * first, since a close over unread bytes resets, and the answer may be lost. */
static void end(struct conn *c) {
	shutdown(c->fd, SHUT_WR);
	for (int i = 0; i < 64 && recv(c->fd, c->in, IN_SIZE, 0) > 0; i++)
		;
	drop(c);
}

/* send_out writes what waits; false where the connection has ended. */
static bool send_out(struct conn *c) {
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
	return true;
}

/* serve does all that a connection allows right now, as an edge comes once. A
 * short read has emptied the socket (epoll(7)), unless the client's end came
 * with the same edge (ended). */
static void serve(struct server *s, struct conn *c, bool ended) {
	for (bool empty = false;;) {
		bool full;
		do {
			full = take(s, c);
			if (!send_out(c)) {
				drop(c);
				return;
			}
			if (c->out_len > 0)
				return; /* an edge comes once the socket takes more */
		} while (full);
		if (c->closing || c->read_eof) {
			end(c);
			return;
		}
		if (empty)
			return;
		size_t room = IN_SIZE - c->in_len;
		ssize_t n = recv(c->fd, c->in + c->in_len, room, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				drop(c);
			return;
		}
		c->read_eof = n == 0;
		c->in_len += (size_t)n;
		empty = (size_t)n < room && !ended;
	}
}

static void accept_all(struct server *s) {
	for (;;) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			return; /* none waits, or no descriptor is left */
		}
		int one = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct conn *c = malloc(sizeof *c);
		if (!c) {
			close(fd);
			continue;
		}
		memset(c, 0, offsetof(struct conn, in));
		c->fd = fd;
		s->connections++;
		struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
			drop(c);
	}
}

/* watch has epoll tell of a descriptor that is no connection. */
static void watch(struct server *s, int *fd) {
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, *fd, &e) < 0)
		die("epoll_ctl");
}

static void start(struct server *s, uint16_t port) {
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if ((s->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
		die("signalfd");
	if ((s->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	if ((s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0)
		die("socket");
	int one = 1;
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;
	if (bind(s->listener, (struct sockaddr *)&a, size) < 0 || listen(s->listener, BACKLOG) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&a, &size) < 0)
		die("listen on 127.0.0.1");
	watch(s, &s->listener);
	watch(s, &s->signals);
	printf("listening http://127.0.0.1:%u\n", ntohs(a.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv) {
	char *rest = "";
	unsigned long port = argc > 1 ? strtoul(argv[1], &rest, 10) : 0;
	if (argc > 2 || *rest || port > UINT16_MAX) {
		fprintf(stderr, "usage: server [PORT]\n");
		return 2;
	}
	struct server s = {0};
	start(&s, (uint16_t)port);
	for (bool stop = false; !stop;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(s.epoll, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		s.now_ns = monotonic_ns();
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &s.listener)
				accept_all(&s);
			else if (events[i].data.ptr == &s.signals)
				stop = true;
			else
				serve(&s, events[i].data.ptr, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
		}
	}
	printf("requests=%llu connections=%llu malformed=%llu span_ns=%llu\n", (unsigned long long)s.requests,
	       (unsigned long long)s.connections, (unsigned long long)s.malformed,
	       (unsigned long long)(s.last_ns - s.first_ns));
	return 0;
}
