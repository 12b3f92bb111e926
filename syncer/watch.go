package syncer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// Watch tells of changes to files, such as a token or a CA certificate that is
// rotated: after one, the channel has a value; more come as one. It is never
// closed. For Config.Wake.
//
// It watches the directories, so a file may be absent, replaced by a rename, or
// reached through a symbolic link in the same directory that is switched over.
// It fails when a directory cannot be watched. Everything it uses is released
// when ctx ends.
//
// A change that goes unnoticed, on a network file system for instance, costs
// time and nothing else: files are read again at each request anyway.
func Watch(ctx context.Context, paths ...string) (<-chan struct{}, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	for _, path := range paths {
		if err := w.Add(filepath.Dir(path)); err != nil {
			w.Close()
			return nil, fmt.Errorf("watch the directory of %s: %w", path, err)
		}
	}
	seen := look(paths)
	wake := make(chan struct{}, 1)
	go func() {
		defer w.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.Events:
			case <-w.Errors: // events were lost, perhaps
			}
			now := look(paths)
			if slices.EqualFunc(seen, now, sameFile) {
				continue
			}
			seen = now
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}()
	return wake, nil
}

// look takes what identifies the files as they are; nil for one that is absent.
func look(paths []string) []os.FileInfo {
	infos := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		if fi, err := os.Stat(path); err == nil {
			infos[i] = fi
		}
	}
	return infos
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}
