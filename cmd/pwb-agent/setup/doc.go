// Package setup wires a node for pwb: nsswitch.conf(5), PAM, the configuration of the
// NSS module, the modes of tokens. It plans edits, shows them as a diff, writes them
// whole or not at all, and takes them back byte for byte.
//
// All paths are those of the node; they lie below Config.Root, which is "/" or a tree
// of an image or a test. Before the first edit the former files and what will be
// written are kept in a journal below the state directory, so that whoever is killed
// in between can run again or undo.
package setup
