/* What a descriptor refers to, read from the kernel's own objects while the call
 * that uses it begins: a number that is closed and used again is never taken for
 * what it was before. */
#ifndef MSLAB_TARGET_H
#define MSLAB_TARGET_H

#include "syscalls.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFIFO 0010000
#define ANON_INODE_FS_MAGIC 0x09041934
#define PIPEFS_MAGIC 0x50495045
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262 /* what Go listens with */
#define TCP_ESTABLISHED 1
#define TCP_LISTEN 10

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct target);
	__type(value, struct name);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} names SEC(".maps");

/* A name while it is put together, and how far: too large for the stack. */
struct walk {
	struct name name;
	__u64 dentry, vfs; /* pointers */
	__u64 root_dentry, root_vfs;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct walk);
	__uint(max_entries, 1);
} walks SEC(".maps");

/* Local ports on which a socket listens: a connection from such a port was
 * accepted. Filled before the start by note_listeners, and by each accept. */
__u8 listening[65536];

/* Takes one step of a path towards its root; 0 at the end. A global function, with
 * its state in a table: so the verifier looks at it once, not at all ways through all
 * steps. */
__noinline int step_up(void)
{
	__u32 zero = 0;
	struct walk *walk = bpf_map_lookup_elem(&walks, &zero);

	if (walk == NULL)
		return 0;
	struct dentry *dentry = (void *)walk->dentry, *parent = READ(dentry, d_parent);
	struct vfsmount *vfs = (void *)walk->vfs;
	struct dentry *top = READ(vfs, mnt_root);
	/* What has a name and no place, an eventfd or a memfd, is its own parent. */
	bool nowhere = dentry == parent && dentry != top;

	if (walk->dentry == walk->root_dentry && walk->vfs == walk->root_vfs)
		goto complete;
	if (dentry == top) {
		struct mount *mnt =
			(void *)vfs - __builtin_preserve_field_info(((struct mount *)0)->mnt, 0 /* byte offset */);
		struct mount *above = READ(mnt, mnt_parent);

		if (above == mnt || above == NULL)
			goto complete;
		walk->dentry = (__u64)READ(mnt, mnt_mountpoint);
		walk->vfs = (__u64)__builtin_preserve_access_index(&above->mnt);
		return 1;
	}
	__u32 at = walk->name.len;
	if (at >= TEXT)
		return 0;
	long n = bpf_probe_read_kernel_str(&walk->name.text[at], PART, READ(dentry, d_name.name));
	if (n <= 0 || n > PART)
		return 0;
	walk->name.len = at + n;
	walk->dentry = (__u64)parent;
	if (!nowhere)
		return 1;
	walk->name.deleted = 0;
complete:
	walk->name.cut = 0;
	return 0;
}

/* Puts the path of a file together, up to the root of the process. */
static __always_inline void read_path(struct walk *walk, struct file *file, struct task_struct *task)
{
	struct fs_struct *fs = READ(task, fs);

	struct dentry *dentry = READ(file, f_path.dentry);

	walk->root_dentry = fs ? (__u64)READ(fs, root.dentry) : 0;
	walk->root_vfs = fs ? (__u64)READ(fs, root.mnt) : 0;
	walk->dentry = (__u64)dentry;
	walk->vfs = (__u64)READ(file, f_path.mnt);
	walk->name.deleted = READ(dentry, d_hash.pprev) == NULL;
	walk->name.cut = 1;
	for (int i = 0; i < 64; i++)
		if (step_up() == 0)
			break;
}

static __always_inline struct walk *new_walk(void)
{
	__u32 zero = 0;
	struct walk *walk = bpf_map_lookup_elem(&walks, &zero);

	if (walk) {
		walk->name.len = 0;
		walk->name.mode = 0;
		walk->name.deleted = 0;
		walk->name.cut = 0;
	}
	return walk;
}

static __always_inline void count_drop(enum drop why);

static __always_inline void keep_name(const struct target *target, const struct name *name)
{
	if (bpf_map_update_elem(&names, target, name, BPF_NOEXIST) < 0 && !bpf_map_lookup_elem(&names, target))
		count_drop(DROP_NAME);
}

static __always_inline void unix_target(struct target *target, struct sock *sk)
{
	struct unix_sock *u = (void *)sk;
	struct unix_address *addr = READ(u, addr);

	target->kind = KIND_UNIX;
	target->role = ROLE_BOUND;
	if (addr == NULL) {
		struct unix_sock *peer = (void *)READ(u, peer);

		target->role = ROLE_NONE;
		if (peer != NULL)
			addr = READ(peer, addr);
		if (addr == NULL)
			return; /* a pair without names */
		target->role = ROLE_CONNECTED;
	} else if (READ(sk, __sk_common.skc_state) == TCP_LISTEN) {
		target->role = ROLE_LISTENING;
	}
	target->id = (__u64)addr;
	if (bpf_map_lookup_elem(&names, target))
		return;
	struct walk *walk = new_walk();
	if (walk == NULL)
		return;
	int len = READ(addr, len);
	if (len < 2 || len > 110)
		return;
	if (bpf_probe_read_kernel(walk->name.text, 110, __builtin_preserve_access_index(&addr->name)) < 0)
		return;
	walk->name.len = len;
	keep_name(target, &walk->name);
}

static __always_inline void socket_target(struct target *target, struct file *file)
{
	struct socket *socket = READ(file, private_data);
	struct sock *sk = READ(socket, sk);

	if (sk == NULL) {
		target->kind = KIND_SOCKET;
		return;
	}
	__u16 family = READ(sk, __sk_common.skc_family);
	__u16 protocol = READ(sk, sk_protocol);

	if (protocol == IPPROTO_MPTCP)
		protocol = IPPROTO_TCP;
	if (family == AF_UNIX) {
		unix_target(target, sk);
		return;
	}
	if ((family != AF_INET && family != AF_INET6) || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)) {
		target->kind = KIND_SOCKET;
		target->dev = family;
		target->port = protocol;
		return;
	}
	target->kind = protocol == IPPROTO_TCP ? KIND_TCP4 : KIND_UDP4;
	if (family == AF_INET6)
		target->kind++;
	__u16 local = READ(sk, __sk_common.skc_num);
	__u16 peer = READ(sk, __sk_common.skc_dport);
	peer = __builtin_bswap16(peer);
	bool of_peer = false;

	if (protocol == IPPROTO_TCP && READ(sk, __sk_common.skc_state) == TCP_LISTEN) {
		listening[local] = 1;
		target->role = ROLE_LISTENING;
	} else if (protocol == IPPROTO_TCP && listening[local]) {
		target->role = ROLE_ACCEPTED;
	} else if (peer != 0) {
		target->role = ROLE_CONNECTED;
		of_peer = true;
	} else if (local != 0) {
		target->role = ROLE_BOUND;
	} else {
		return; /* an address without a port is no row of its own: clients may have many */
	}
	target->port = of_peer ? peer : local;
	if (family == AF_INET) {
		__u32 addr = of_peer ? READ(sk, __sk_common.skc_daddr) : READ(sk, __sk_common.skc_rcv_saddr);
		__builtin_memcpy(target->addr, &addr, sizeof(addr));
		return;
	}
	struct in6_addr addr = of_peer ? READ(sk, __sk_common.skc_v6_daddr) : READ(sk, __sk_common.skc_v6_rcv_saddr);
	__builtin_memcpy(target->addr, &addr, sizeof(addr));
}

/* Fills target, which is all zero, with what fd refers to. */
static __noinline int find_target(struct target *target, __s32 fd)
{
	if (target == NULL)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	/* The verifier knows these for kernel objects: loads without a helper. */
	struct fdtable *table = task->files->fdt;
	struct file **slots = table->fd;
	struct file *file = NULL;

	target->kind = KIND_NOTOPEN;
	if (fd < 0 || (__u32)fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	if (file == NULL)
		return 0;
	struct inode *inode = READ(file, f_inode);
	__u16 mode = READ(inode, i_mode);

	if ((mode & S_IFMT) == S_IFSOCK) {
		socket_target(target, file);
		return 0;
	}
	struct super_block *sb = READ(inode, i_sb);
	unsigned long magic = READ(sb, s_magic);
	if (magic == ANON_INODE_FS_MAGIC) {
		target->kind = KIND_ANON;
		target->id = (__u64)READ(file, f_op);
	} else {
		target->kind = magic == PIPEFS_MAGIC ? KIND_PIPE : KIND_FILE;
		target->id = READ(inode, i_ino);
		target->dev = READ(sb, s_dev);
		if (target->kind == KIND_PIPE)
			return 0;
	}
	if (bpf_map_lookup_elem(&names, target))
		return 0;
	struct walk *walk = new_walk();
	if (walk == NULL)
		return 0;
	walk->name.mode = mode;
	read_path(walk, file, task);
	keep_name(target, &walk->name);
	return 0;
}

#endif
