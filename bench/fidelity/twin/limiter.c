/* A sliding window for each client: a ring of the times of the requests that
 * were admitted within the last second. */
#include "twin.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { buckets = 1024, decisions = 1 << 16 };

static const int64_t window_ns = 1000000000;

struct window {
	struct window *next; /* in its bucket */
	char client[client_size];
	int64_t *times;
	size_t room, head, count;
};

struct shard {
	pthread_mutex_t lock;
	struct window *bucket[buckets];
	char pad[64]; /* keeps two shards' locks off one cache line */
};

/* Each decision is noted in a ring under a lock of its own, as the phases'
 * decision events are. */
struct decision {
	int64_t at_ns;
	bool allowed;
};

struct limiter {
	int64_t rate;
	unsigned shards;
	struct shard *shard;
	pthread_mutex_t decisions_lock;
	uint64_t decided;
	struct decision decision[decisions];
};

struct limiter *limiter_new(int64_t rate, unsigned shards)
{
	struct limiter *l = calloc(1, sizeof *l);
	if (l == NULL)
		return NULL;
	l->shard = calloc(shards, sizeof *l->shard);
	if (l->shard == NULL) {
		free(l);
		return NULL;
	}
	l->rate = rate;
	l->shards = shards;
	pthread_mutex_init(&l->decisions_lock, NULL);
	for (unsigned i = 0; i < shards; i++)
		pthread_mutex_init(&l->shard[i].lock, NULL);
	return l;
}

/* FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/). */
static uint64_t hash(const char *s)
{
	uint64_t h = 14695981039346656037u;
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return h;
}

static struct window *find(struct shard *s, const char *client, uint64_t h)
{
	struct window **bucket = &s->bucket[(h >> 32) % buckets];
	for (struct window *w = *bucket; w != NULL; w = w->next)
		if (strcmp(w->client, client) == 0)
			return w;
	struct window *w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	strncpy(w->client, client, client_size - 1);
	w->next = *bucket;
	*bucket = w;
	return w;
}

static bool grow(struct window *w)
{
	size_t room = w->room ? 2 * w->room : 64;
	int64_t *larger = malloc(room * sizeof *larger);
	if (larger == NULL)
		return false;
	for (size_t i = 0; i < w->count; i++)
		larger[i] = w->times[(w->head + i) % w->room];
	free(w->times);
	w->times = larger;
	w->room = room;
	w->head = 0;
	return true;
}

static bool window_allow(struct window *w, int64_t rate, int64_t now_ns)
{
	while (w->count > 0 && now_ns - w->times[w->head] >= window_ns) {
		w->head = (w->head + 1) % w->room;
		w->count--;
	}
	if ((int64_t)w->count >= rate || (w->count == w->room && !grow(w)))
		return false;
	w->times[(w->head + w->count++) % w->room] = now_ns;
	return true;
}

bool limiter_allow(struct limiter *l, const char *client, int64_t now_ns)
{
	uint64_t h = hash(client);
	struct shard *s = &l->shard[h & (l->shards - 1)];
	pthread_mutex_lock(&s->lock);
	struct window *w = find(s, client, h);
	bool allowed = w != NULL && window_allow(w, l->rate, now_ns);
	pthread_mutex_unlock(&s->lock);

	pthread_mutex_lock(&l->decisions_lock);
	l->decision[l->decided++ % decisions] = (struct decision){now_ns, allowed};
	pthread_mutex_unlock(&l->decisions_lock);
	return allowed;
}
