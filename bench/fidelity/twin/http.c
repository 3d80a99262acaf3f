/* One request a connection: POST /metrics with a Content-Length. */
#define _GNU_SOURCE
#include "twin.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { first_read = 4096 };

struct request {
	char *bytes; /* head and body; NUL behind what was read */
	size_t length, room;
	size_t head; /* bytes of the head, its blank line included */
	long body;   /* Content-Length, -1 where absent */
	char client[client_size];
};

/* Reads once; false at the end of the connection. */
static bool read_more(struct request *r, int fd)
{
	if (r->length + 1 >= r->room) {
		size_t room = 2 * r->room;
		char *larger = realloc(r->bytes, room);
		if (larger == NULL)
			return false;
		r->bytes = larger;
		r->room = room;
	}
	ssize_t n;
	do
		n = read(fd, r->bytes + r->length, r->room - r->length - 1);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	r->length += (size_t)n;
	r->bytes[r->length] = '\0';
	return true;
}

static bool field_is(const char *line, size_t name_length, const char *name)
{
	return name_length == strlen(name) && strncasecmp(line, name, name_length) == 0;
}

/* Takes a Content-Length: digits only, once. */
static int content_length(struct request *r, const char *value, const char *end)
{
	if (r->body >= 0 || value == end)
		return 400;
	r->body = 0;
	for (; value < end; value++) {
		if (*value < '0' || *value > '9')
			return 400;
		r->body = 10 * r->body + (*value - '0');
		if (r->body > max_body)
			return 413;
	}
	return 0;
}

/* Takes a header line; returns 0 or the status to refuse it with. */
static int field(struct request *r, const char *line, const char *end, int *hosts)
{
	const char *colon = memchr(line, ':', (size_t)(end - line));
	if (colon == NULL || colon == line || memchr(line, ' ', (size_t)(colon - line)) != NULL)
		return 400;
	size_t name = (size_t)(colon - line);
	const char *value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	for (const char *c = value; c < end; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7F)
			return 400;
	if (field_is(line, name, "Host"))
		++*hosts;
	if (field_is(line, name, "Transfer-Encoding"))
		return 501;
	if (field_is(line, name, "Content-Length"))
		return content_length(r, value, end);
	if (field_is(line, name, "Authorization"))
		snprintf(r->client, sizeof r->client, "%.*s", (int)(end - value), value);
	return 0;
}

static int parse_head(struct request *r)
{
	static const char request_line[] = "POST /metrics HTTP/1.1\r\n";
	if (strncmp(r->bytes, request_line, sizeof request_line - 1) != 0)
		return 404;
	const char *line = r->bytes + sizeof request_line - 1;
	const char *last = r->bytes + r->head - 2; /* the blank line */
	int hosts = 0;
	strcpy(r->client, "default");
	while (line < last) {
		const char *end = memmem(line, (size_t)(last - line), "\r\n", 2);
		if (end == NULL)
			return 400;
		int status = field(r, line, end, &hosts);
		if (status != 0)
			return status;
		line = end + 2;
	}
	return hosts == 1 && r->body >= 0 ? 0 : 400;
}

/* Reads the whole request. Returns 0, a status to refuse it with, or -1 where
 * the connection ended. */
static int read_request(struct request *r, int fd)
{
	const char *blank = NULL;
	for (size_t searched = 0; blank == NULL; searched = r->length > 3 ? r->length - 3 : 0) {
		if (r->length > max_head)
			return 431;
		if (!read_more(r, fd))
			return -1;
		blank = memmem(r->bytes + searched, r->length - searched, "\r\n\r\n", 4);
	}
	r->head = (size_t)(blank - r->bytes) + 4;
	int status = parse_head(r);
	if (status != 0)
		return status;
	while (r->length < r->head + (size_t)r->body)
		if (!read_more(r, fd))
			return -1;
	return 0;
}

static void send_all(int fd, const char *at, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		at += n;
		length -= (size_t)n;
	}
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 404: return "Not Found";
	case 413: return "Content Too Large";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	case 503: return "Service Unavailable";
	}
	return "Bad Request";
}

static void answer(int fd, int status, const char *id, const char *body)
{
	char out[1024];
	int n = snprintf(out, sizeof out,
		"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"X-Correlation-ID: %s\r\nConnection: close\r\n\r\n%s",
		status, reason(status), strlen(body), id, body);
	send_all(fd, out, (size_t)n);
}

static void refuse(int fd, int status, const char *id, const char *why)
{
	char body[256];
	snprintf(body, sizeof body, "{\"error\":\"%s\"}", why);
	answer(fd, status, id, body);
}

static void ingest(struct service *s, struct request *r, int fd, struct batch *b)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	if (s->limiter != NULL && !limiter_allow(s->limiter, r->client, now_ns)) {
		refuse(fd, 429, b->id, "rate limit exceeded");
		batch_free(b);
		return;
	}
	b->received_ms = now_ns / 1000000;
	b->body = malloc((size_t)r->body + 1);
	if (b->body == NULL) {
		refuse(fd, 503, b->id, "out of memory");
		batch_free(b);
		return;
	}
	memcpy(b->body, r->bytes + r->head, (size_t)r->body);
	b->body[r->body] = '\0';
	const char *wrong = batch_parse(b, (size_t)r->body);
	if (wrong != NULL) {
		refuse(fd, 400, b->id, wrong);
		batch_free(b);
		return;
	}
	char id[sizeof b->id], body[64];
	memcpy(id, b->id, sizeof id); /* the writer may free b at once */
	snprintf(body, sizeof body, "{\"success\":true,\"metrics_processed\":%u}", b->count);
	if (!writer_put(s->writer, b)) {
		batch_free(b);
		refuse(fd, 503, id, "the writer is behind");
		return;
	}
	answer(fd, 200, id, body);
}

void serve(struct service *s, int fd)
{
	static _Atomic uint64_t requests;
	struct request r = {.room = first_read, .body = -1, .bytes = malloc(first_read)};
	struct batch *b = batch_new();
	if (r.bytes != NULL && b != NULL) {
		int status = read_request(&r, fd);
		snprintf(b->id, sizeof b->id, "%s-%llx", s->id_prefix,
			(unsigned long long)atomic_fetch_add(&requests, 1));
		if (status == 0) {
			ingest(s, &r, fd, b);
			b = NULL;
		} else if (status > 0) {
			refuse(fd, status, b->id, "not a request that the twin takes");
			shutdown(fd, SHUT_WR);
		}
	}
	batch_free(b);
	free(r.bytes);
	close(fd);
}
