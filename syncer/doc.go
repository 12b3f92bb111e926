// Package syncer keeps a node's roster in step with the server's: it pulls
// changes, proves that they add up, keeps them in a mirror file, and hands the
// roster to a Sink that renders it.
//
// Where rosters come from is a Source; Client is the one that speaks HTTP.
// What becomes of them is a Sink's business; this package knows no file of the
// rendered kind.
//
// A Syncer makes single passes (Once, for cron and for administrators) or stays
// (Run, the daemon). Both keep four things in the state directory:
//
//	mirror      the roster as last verified: a roster snapshot stream
//	state.json  what was rendered, what failed, what is stopped
//	report.json what the server was told of this node, and what it has yet to be
//	lock        flock(2) that keeps two passes apart
//
// The rule behind every decision here: without a whole, verified answer nothing
// changes. The old mirror and the rendered files stay, byte for byte, and the
// error says why. DESIGN.md beside this file has the reasoning.
package syncer
