/* twin MODE PORT FILE RATE: serves on 127.0.0.1:PORT until SIGTERM.
 *   MODE  threads: a pthread for each connection; one lock over the limiter
 *         pool: 16 workers behind a queue of 10,000; 64 limiter shards
 *   PORT  0 picks one; the address is printed once the server accepts
 *   FILE  gets the stored metrics as JSON Lines
 *   RATE  requests/s that a client may send, 0: no limit */
#define _GNU_SOURCE
#include "twin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { backlog = 1024, workers = 16, queue_size = 10000, timeout_s = 10, limiter_shards = 64 };

static struct service service;
static int listener;
static atomic_bool stopping;

static void die(const char *what)
{
	fprintf(stderr, "twin: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Listens; accepted sockets inherit the timeouts. accept has them too, and is
 * called again. */
static void listen_on(int port)
{
	int on = 1;
	struct timeval timeout = {.tv_sec = timeout_s};
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof address;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0)
		die("make a socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(listener, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0)
		die("bind");
	if (listen(listener, backlog) != 0)
		die("listen");
	getsockname(listener, (struct sockaddr *)&address, &length);
	printf("listening http://127.0.0.1:%d\n", ntohs(address.sin_port));
	fflush(stdout);
}

/* Accepts the next connection, -1 once the server stops. */
static int next_connection(void)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (atomic_load(&stopping)) {
			if (fd >= 0)
				close(fd);
			return -1;
		}
		if (fd >= 0)
			return fd;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			struct timespec pause = {.tv_nsec = 10000000};
			nanosleep(&pause, NULL);
		}
	}
}

/* threads */

static atomic_int running;

static void *serve_one(void *fd)
{
	serve(&service, (int)(intptr_t)fd);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void run_threads(void)
{
	pthread_attr_t detached;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (int fd; (fd = next_connection()) >= 0;) {
		pthread_t thread;
		atomic_fetch_add(&running, 1);
		if (pthread_create(&thread, &detached, serve_one, (void *)(intptr_t)fd) != 0) {
			atomic_fetch_sub(&running, 1);
			close(fd);
		}
	}
	while (atomic_load(&running) > 0) {
		struct timespec pause = {.tv_nsec = 1000000};
		nanosleep(&pause, NULL);
	}
}

/* pool */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t not_empty;
	int fd[queue_size];
	unsigned head, count;
	bool closed;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .not_empty = PTHREAD_COND_INITIALIZER};

static bool queue_put(int fd)
{
	pthread_mutex_lock(&queue.lock);
	bool room = queue.count < queue_size;
	if (room) {
		queue.fd[(queue.head + queue.count++) % queue_size] = fd;
		pthread_cond_signal(&queue.not_empty);
	}
	pthread_mutex_unlock(&queue.lock);
	return room;
}

static int queue_take(void)
{
	int fd = -1;
	pthread_mutex_lock(&queue.lock);
	while (queue.count == 0 && !queue.closed)
		pthread_cond_wait(&queue.not_empty, &queue.lock);
	if (queue.count > 0) {
		fd = queue.fd[queue.head];
		queue.head = (queue.head + 1) % queue_size;
		queue.count--;
	}
	pthread_mutex_unlock(&queue.lock);
	return fd;
}

static void *work(void *unused)
{
	(void)unused;
	for (int fd; (fd = queue_take()) >= 0;)
		serve(&service, fd);
	return NULL;
}

static void run_pool(void)
{
	static const char overloaded[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
		"Content-Length: 22\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{\"error\":\"overloaded\"}";
	pthread_t thread[workers];
	for (int i = 0; i < workers; i++)
		if (pthread_create(&thread[i], NULL, work, NULL) != 0)
			die("start a worker");
	for (int fd; (fd = next_connection()) >= 0;) {
		if (queue_put(fd))
			continue;
		send(fd, overloaded, sizeof overloaded - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
	}
	pthread_mutex_lock(&queue.lock);
	queue.closed = true;
	pthread_cond_broadcast(&queue.not_empty);
	pthread_mutex_unlock(&queue.lock);
	for (int i = 0; i < workers; i++)
		pthread_join(thread[i], NULL);
}

/* Waits for SIGTERM or SIGINT, which every thread blocks, then wakes accept. */
static void *wait_for_signal(void *signals)
{
	int got;
	sigwait(signals, &got);
	atomic_store(&stopping, true);
	shutdown(listener, SHUT_RD);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5 || (strcmp(argv[1], "threads") != 0 && strcmp(argv[1], "pool") != 0)) {
		fprintf(stderr, "usage: twin threads|pool PORT FILE RATE\n");
		return 2;
	}
	bool pool = strcmp(argv[1], "pool") == 0;
	long rate = atol(argv[4]);
	sigset_t signals;
	pthread_t waiter;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);

	snprintf(service.id_prefix, sizeof service.id_prefix, "%012llx", (unsigned long long)time(NULL));
	service.writer = writer_start(argv[3]);
	if (service.writer == NULL)
		die(argv[3]);
	if (rate > 0 && (service.limiter = limiter_new(rate, pool ? limiter_shards : 1)) == NULL)
		die("make the limiter");
	if (pthread_create(&waiter, NULL, wait_for_signal, &signals) != 0)
		die("start the signal thread");
	listen_on((int)atol(argv[2]));
	if (pool)
		run_pool();
	else
		run_threads();
	pthread_join(waiter, NULL);
	writer_stop(service.writer);
	return 0;
}
