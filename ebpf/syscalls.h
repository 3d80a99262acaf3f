/* The tables that the probes of system calls share with their reader. */
#ifndef MSLAB_SYSCALLS_H
#define MSLAB_SYSCALLS_H

#include "kernel.h"

/* A call by the 32-bit table of the machine has this bit in its number. */
#define COMPAT 0x80000000u
#define NUMBERS 1024 /* of one table */

/* What slots[] says of a number, beside the index into stats. */
#define SLOT_NONE 0       /* not traced */
#define SLOT_TABLE 0x7fff /* counted in the table of split rows */
#define SLOT_INDEX 0x7fff
#define SLOT_FD 0x8000 /* the first argument is a descriptor */

/* Log-linear buckets, see histogram.go. */
#define HIST_SUB_BITS 4
#define HIST_SUB (1 << HIST_SUB_BITS)
#define HIST_TOP_BITS 36
#define HIST_BUCKETS ((HIST_TOP_BITS - HIST_SUB_BITS + 1) * HIST_SUB + 1)

/* Errors by number: 1..133 as they are, then the five that the kernel keeps to
 * itself (512..516), then any other. */
#define ERRNO_LAST 133
#define ERRNO_RESTART 512
#define ERRNO_RESTART_LAST 516
#define ERRNO_OTHER (ERRNO_LAST + 1 + ERRNO_RESTART_LAST - ERRNO_RESTART + 1)
#define ERRNOS (ERRNO_OTHER + 1)

struct stat {
	__u64 calls;
	__u64 errors;
	__u64 total;
	__u64 max;
	__s32 fd;
	__u32 hist[HIST_BUCKETS];
	__u64 errnos[ERRNOS];
};

enum kind {
	KIND_NONE,    /* the call takes no descriptor */
	KIND_NOTOPEN, /* it takes one, and nothing is open there */
	KIND_FILE,    /* id inode, dev; named */
	KIND_PIPE,    /* id inode */
	KIND_ANON,    /* id kind of anonymous inode; named */
	KIND_TCP4,
	KIND_TCP6,
	KIND_UDP4,
	KIND_UDP6,
	KIND_UNIX,   /* id address; named */
	KIND_SOCKET, /* dev family, port protocol */
};

enum role {
	ROLE_NONE,
	ROLE_LISTENING,
	ROLE_ACCEPTED,
	ROLE_CONNECTED, /* address and port are the peer's */
	ROLE_BOUND,
};

/* What a descriptor refers to. Connections of one listener are one target. */
struct target {
	__u8 kind;
	__u8 role;
	__u16 port; /* host order */
	__u32 dev;
	__u64 id;
	__u8 addr[16];
};

struct key {
	__u32 number;
	__u32 thread;
	struct target target;
};

/* A call in progress. */
struct call {
	__u64 start; /* 0: none */
	__u32 number;
	__u16 slot;
	__u16 pad;
	__s32 fd;
	__u32 process;
	struct target target;
};

struct task_call {
	__u32 process;
	__u32 thread;
	struct call call;
};

struct task_ids {
	__u32 process;
	__u32 thread;
	__u32 process_here; /* as the pid namespace of the reader has it, 0: not in it */
	__u32 thread_here;
};

#define TEXT 1024
#define PART 128

/* The name of a target: the parts of a path, the last one first, each ended by a
 * NUL; or a socket's address as it is. */
struct name {
	__u32 len;
	__u16 mode; /* of the inode */
	__u8 deleted;
	__u8 cut; /* there was more than fits */
	char text[TEXT + PART];
};

enum drop {
	DROP_START, /* no room to keep the start of a call */
	DROP_EXIT,  /* a call whose end was not seen */
	DROP_TABLE, /* no room for a row */
	DROP_NAME,  /* no room for a name */
	DROPS,
};

#endif
