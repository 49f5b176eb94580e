// Package openai simulates the organisation API of OpenAI (usage, costs,
// projects, models) over HTTP, fed by two public traces of real LLM requests.
//
// Every row of the traces becomes one request of one organisation. What the
// traces lack (day, model, project, API key, user, cache, tier) is drawn from a
// stated seed, so that equal configurations answer alike. The bill behind the
// costs endpoint is computed here, request by request and in exact fractions,
// from a price list of its own: a caller can check another implementation of
// the prices against it.
//
// The package is for tests and the demo. Production code may not import it,
// and it must not know the product's price tables or its cost calculation.
package openai
