//go:build !race

package poll

import "golang.org/x/sys/unix"

// enough is what must be free there: some times what the files of a package's tests take.
const enough = 1 << 30

// roomy reports whether dir is in memory, has room and lets programs run.
func roomy(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.TMPFS_MAGIC && st.Flags&unix.ST_NOEXEC == 0 &&
		st.Bavail*uint64(st.Bsize) >= enough && unix.Access(dir, unix.W_OK) == nil
}
