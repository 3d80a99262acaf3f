package chaos

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"4MiB": 4 << 20, "4M": 4 << 20, "64KiB": 64 << 10, "1.5GiB": 3 << 29, "2G": 2 << 30, "4096": 4096, "0": 0, "12B": 12, "0.5K": 512,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-4MiB", "+4", "4 MiB", "1e9", "0x10", "infMiB", "NaN", "4MB", "1_000", ".5M", "1.2.3", "99999999999999999999GiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 4096: "4 KiB", 4 << 20: "4 MiB", 64389120: "61.4 MiB", 3 << 29: "1.5 GiB"} {
		if got := formatSize(bytes); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"4MiB", "1.5G", "4096", "x", "-1K"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := parseSize(text)
		if err == nil && size < 0 {
			t.Errorf("parseSize(%q) = %d", text, size)
		}
	})
}
