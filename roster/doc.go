// Package roster holds the nouns that the server, the agent and the renderer
// share: accounts, groups, memberships, positions, which names and numbers are
// fit, the lines of passwd(5), group(5) and shadow(5), and the stream in which a
// roster travels and is kept.
//
// It is the leaf of the house: it imports the standard library alone and
// touches neither files nor the network.
package roster
