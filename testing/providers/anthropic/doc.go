// Package anthropic simulates the Admin API of Anthropic (usage report, cost report,
// organisation, workspaces, API keys) and its list of models over HTTP, fed by two public
// traces of real LLM requests.
//
// Every row of the traces becomes one request of one organisation. What the traces lack is
// drawn from a stated seed, so that equal configurations answer alike. The bill behind the
// cost report is computed here in exact fractions, from a price list of its own, so that a
// caller can check another implementation of the prices against it.
//
// The contract is that of the public documentation of 2026-09; see testdata/README.md. The
// package is for tests and the demo. Production code may not import it, and it must not
// know the product's price tables or its cost calculation.
package anthropic
