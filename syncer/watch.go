package syncer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watchPeriod is how often Watch looks by itself.
const watchPeriod = time.Minute

// Watch tells of changes to files, such as a token or a CA certificate that is
// rotated: after one, the channel has a value; more come as one. It is never
// closed. For Config.Wake.
//
// It watches the directories, so a file may be absent, replaced by a rename, or
// reached through a symbolic link in the same directory that is switched over.
// Whatever goes unnoticed, on a network file system for instance, it finds when it
// looks by itself, once a minute. An error says which directories are only looked
// at so; the channel is good all the same. Everything ends with ctx.
func Watch(ctx context.Context, paths ...string) (<-chan struct{}, error) {
	return watch(ctx, watchPeriod, paths)
}

func watch(ctx context.Context, period time.Duration, paths []string) (<-chan struct{}, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		err = fmt.Errorf("watch files: %w", err)
		w = &fsnotify.Watcher{} // whose channels say nothing
	}
	var dirs []string
	for _, path := range paths {
		if dir := filepath.Dir(path); !slices.Contains(dirs, dir) && err == nil {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if e := w.Add(dir); e != nil {
			err = errors.Join(err, fmt.Errorf("watch the directory %s: %w", dir, e))
		}
	}
	seen := look(paths)
	wake := make(chan struct{}, 1)
	go func() {
		if w.Events != nil {
			defer w.Close()
		}
		timer := time.NewTicker(period)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
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
	return wake, err
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
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime()) && ctime(a).Equal(ctime(b))
}
