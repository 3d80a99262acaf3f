package ebpf

// helpCompat is for amd64, where a 64-bit program can make 32-bit calls.
func helpCompat([]string) error { return nil }
