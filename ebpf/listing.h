/* What the reader asks for: a part of syscalls.bpf.c. */
#ifndef MSLAB_LISTING_H
#define MSLAB_LISTING_H

/* Lists the calls in progress, or forgets all of them. */
SEC("iter/task")
int list_calls(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task == NULL)
		return 0;
	struct call *call = bpf_task_storage_get(&task_calls, task, 0, 0);
	if (call == NULL || call->start == 0)
		return 0;
	if (clearing) {
		call->start = 0;
		return 0;
	}
	if (!traced((__u64)task->tgid << 32))
		return 0;
	struct task_call entry;
	__builtin_memset(&entry, 0, sizeof(entry));
	entry.process = task->tgid;
	entry.thread = task->pid;
	entry.call = *call;
	if (entry.call.start)
		bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

/* Notes on which ports the sockets of a process listen. It writes nothing. */
SEC("iter/task_file")
int note_listeners(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (task == NULL || file == NULL || task->tgid != listener)
		return 0;
	struct inode *inode = READ(file, f_inode);
	if ((READ(inode, i_mode) & S_IFMT) == S_IFSOCK) {
		struct target target;

		__builtin_memset(&target, 0, sizeof(target));
		socket_target(&target, file);
	}
	return 0;
}

/* Lists the ids of all tasks, those of the first pid namespace and the reader's. */
SEC("iter/task")
int list_ids(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task == NULL)
		return 0;
	struct task_struct *reader = bpf_get_current_task_btf();
	__u32 level = reader->thread_pid->level;
	struct task_struct *leader = task->group_leader;
	struct pid *own = task->thread_pid, *first = leader->thread_pid;
	struct task_ids entry = {.process = task->tgid, .thread = task->pid};
	struct upid at;

	if (own == NULL || first == NULL || level > 32)
		return 0;
	if (own->level >= level &&
	    bpf_probe_read_kernel(&at, sizeof(at), __builtin_preserve_access_index(&own->numbers[0]) + level) == 0)
		entry.thread_here = at.nr;
	if (first->level >= level &&
	    bpf_probe_read_kernel(&at, sizeof(at), __builtin_preserve_access_index(&first->numbers[0]) + level) == 0)
		entry.process_here = at.nr;
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

#endif
