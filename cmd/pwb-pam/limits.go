package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"pwb/pam"
)

// enoughFiles is how many descriptors are always to be had.
const enoughFiles = 1024

// unlimited lifts the resource limits that come from whoever runs su or sudo. Without
// root, and in containers without CAP_SYS_RESOURCE, they stay.
func unlimited() {
	if !privileged() {
		return
	}
	for _, resource := range []int{unix.RLIMIT_FSIZE, unix.RLIMIT_CPU, unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		_ = unix.Setrlimit(resource, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	}
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && files.Cur < enoughFiles {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: enoughFiles, Max: max(files.Max, enoughFiles)})
	}
}

// mayCount fails where the caller's limit of the size of files keeps wrong passwords from
// being counted: such an attempt is not one to delay and let through.
func mayCount() error {
	var size unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &size); err != nil {
		return fmt.Errorf("the limit of the size of files: %w", err)
	}
	if size.Cur < pam.FailuresSize {
		return fmt.Errorf("whoever runs this may write files of %d bytes only (ulimit -f), so that wrong passwords cannot be counted", size.Cur)
	}
	return nil
}
