// Package model is a seeded simulation of how rows are delivered: a provider with pages
// and cursors, a warehouse with job ids, loads, staging tables and publish jobs, and
// owners with overlapping ranges that crash, pause, wake late and take over. A seed
// decides everything that happens, so that a failure can be played again.
//
// It states the rules of delivery in their shortest form and checks the promise of every
// write mode after every publish: nothing lost, nothing doubled, the rows of exactly one
// generation and of one pass, few pages asked for twice, no circular wait, every run
// ends. Each rule can be switched off by a Flaw; the tests show that the model notices.
//
// It must not know the code it is a model of: it imports none of it, so that both can
// only agree because both follow the rules. Comments beginning with "Shipped:" say where
// transforms/sink and launcher follow a rule today and where they do not.
package model
