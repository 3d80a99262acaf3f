/* The writer: a thread that takes all batches that wait at once, encodes them as
 * JSON Lines and appends them to a file. */
#include "twin.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { capacity = 1 << 16, write_size = 256 << 10 };

struct writer {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t not_empty;
	struct batch *first, **last;
	unsigned waiting;
	bool closed;

	char *out; /* the thread's own */
	size_t length, room;
};

static void need(struct writer *w, size_t n)
{
	if (w->length + n <= w->room)
		return;
	w->room = 2 * (w->length + n);
	w->out = realloc(w->out, w->room);
	if (w->out == NULL) {
		perror("twin: grow the write buffer");
		exit(1);
	}
}

static void put(struct writer *w, const char *s, size_t n)
{
	need(w, n);
	memcpy(w->out + w->length, s, n);
	w->length += n;
}

static void put_literal(struct writer *w, const char *s) { put(w, s, strlen(s)); }

static void put_string(struct writer *w, struct text t)
{
	need(w, 6 * t.length + 2);
	char *out = w->out + w->length;
	*out++ = '"';
	for (size_t i = 0; i < t.length; i++) {
		unsigned char c = (unsigned char)t.at[i];
		if (c == '"' || c == '\\') {
			*out++ = '\\';
			*out++ = (char)c;
		} else if (c < 0x20) {
			out += sprintf(out, "\\u%04x", c);
		} else {
			*out++ = (char)c;
		}
	}
	*out++ = '"';
	w->length = (size_t)(out - w->out);
}

/* Writes the number with the fewest of 15 or 17 digits that read back as the
 * same double. */
static void put_number(struct writer *w, double value)
{
	need(w, 32);
	int n = snprintf(w->out + w->length, 32, "%.15g", value);
	if (strtod(w->out + w->length, NULL) != value)
		n = snprintf(w->out + w->length, 32, "%.17g", value);
	w->length += (size_t)n;
}

static void put_time(struct writer *w, int64_t ms)
{
	int64_t second = ms / 1000, milli = ms % 1000;
	if (milli < 0) {
		milli += 1000;
		second--;
	}
	struct tm t;
	time_t seconds = (time_t)second;
	gmtime_r(&seconds, &t);
	need(w, 64);
	w->length += (size_t)snprintf(w->out + w->length, 64, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)milli);
}

static void put_batch(struct writer *w, struct batch *b)
{
	for (uint32_t i = 0; i < b->count; i++) {
		struct metric *m = &b->metrics[i];
		put_literal(w, "{\"timestamp\":\"");
		put_time(w, m->has_timestamp ? m->timestamp_ms : b->received_ms);
		put_literal(w, "\",\"name\":");
		put_string(w, m->name);
		put_literal(w, ",\"value\":");
		put_number(w, m->value);
		put_literal(w, ",\"type\":");
		put_string(w, m->type);
		put_literal(w, ",\"tags\":{");
		for (uint32_t j = 0; j < m->tags; j++) {
			struct tag *tag = &b->tag_list[m->first_tag + j];
			if (j > 0)
				put_literal(w, ",");
			put_string(w, tag->key);
			put_literal(w, ":");
			put_string(w, tag->value);
		}
		put_literal(w, "},\"id\":");
		put_string(w, (struct text){b->id, strlen(b->id)});
		put_literal(w, "}\n");
	}
}

static void flush(struct writer *w)
{
	for (size_t done = 0; done < w->length;) {
		ssize_t n = write(w->fd, w->out + done, w->length - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			perror("twin: write metrics");
			exit(1);
		}
		done += (size_t)n;
	}
	w->length = 0;
}

static struct batch *take_all(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->first == NULL && !w->closed)
		pthread_cond_wait(&w->not_empty, &w->lock);
	struct batch *taken = w->first;
	w->first = NULL;
	w->last = &w->first;
	w->waiting = 0;
	pthread_mutex_unlock(&w->lock);
	return taken;
}

static void *run(void *argument)
{
	struct writer *w = argument;
	struct batch *b;
	while ((b = take_all(w)) != NULL) {
		while (b != NULL) {
			struct batch *next = b->next;
			put_batch(w, b);
			batch_free(b);
			if (w->length >= write_size)
				flush(w);
			b = next;
		}
		flush(w);
	}
	return NULL;
}

struct writer *writer_start(const char *path)
{
	struct writer *w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->not_empty, NULL);
	w->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (w->fd < 0 || pthread_create(&w->thread, NULL, run, w) != 0) {
		free(w);
		return NULL;
	}
	return w;
}

bool writer_put(struct writer *w, struct batch *b)
{
	pthread_mutex_lock(&w->lock);
	bool room = w->waiting < capacity;
	if (room) {
		b->next = NULL;
		*w->last = b;
		w->last = &b->next;
		if (w->waiting++ == 0)
			pthread_cond_signal(&w->not_empty);
	}
	pthread_mutex_unlock(&w->lock);
	return room;
}

void writer_stop(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->closed = true;
	pthread_cond_signal(&w->not_empty);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	fsync(w->fd);
	close(w->fd);
	free(w->out);
	free(w);
}
