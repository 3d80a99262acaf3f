/* The C twins of phase 1 (a pthread for each connection) and phase 5 (16 worker
 * threads behind a bounded queue). They do the work of the phases' requests:
 * read by Content-Length, parse and validate the JSON body in one pass, admit by
 * a sliding window, hand the batch to a background writer, answer, close. They
 * exist to tell what of a phase's cost is Go's, and are no servers to run for
 * real: chunked bodies, kept connections and rarer methods are refused. */
#ifndef TWIN_H
#define TWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	max_head = 32 << 10,
	max_body = 1 << 20,
	max_metrics = 1000,
	max_name = 255, /* characters */
	max_depth = 10000,
	client_size = 128,
};

/* A string inside a buffer that somebody else owns. */
struct text {
	const char *at;
	size_t length;
};

/* text_is tells whether a text equals a literal. */
bool text_is(struct text t, const char *literal);

struct tag {
	struct text key, value;
};

struct metric {
	struct text name, type;
	double value;
	int64_t timestamp_ms; /* where has_timestamp */
	bool has_timestamp;
	uint32_t first_tag, tags; /* in the batch's tag list */
};

/* A batch owns its memory: the strings lie in `body`, which the parser
 * overwrites with their decoded form. */
struct batch {
	struct batch *next; /* in the writer's queue */
	char id[32];
	int64_t received_ms;
	char *body;
	struct metric *metrics;
	uint32_t count, metric_room;
	struct tag *tag_list;
	uint32_t tag_count, tag_room;
};

struct batch *batch_new(void);
void batch_free(struct batch *b);

/* json.c: parses `length` bytes of b->body, of which b keeps hold, in one pass
 * and checks the batch. Returns NULL, or what is wrong in words fit for an
 * answer. */
const char *batch_parse(struct batch *b, size_t length);

/* limiter.c: at most `rate` requests of a client within any second. shards is a
 * power of two; each shard has a lock and a table of its own. */
struct limiter;
struct limiter *limiter_new(int64_t rate, unsigned shards);
bool limiter_allow(struct limiter *l, const char *client, int64_t now_ns);

/* writer.c: one thread that appends batches to a file as JSON Lines. */
struct writer;
struct writer *writer_start(const char *path);
/* Takes the batch; false where 65,536 wait already, and the caller keeps it. */
bool writer_put(struct writer *w, struct batch *b);
/* Writes what waits, syncs, and ends the thread. */
void writer_stop(struct writer *w);

/* http.c: answers the one request of a connection and closes it. */
struct service {
	struct limiter *limiter; /* NULL: no limit */
	struct writer *writer;
	char id_prefix[16];
};
void serve(struct service *s, int fd);

#endif
