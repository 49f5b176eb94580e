// Package prices keeps the price and plan tables of an organisation, in the
// organisation's own dataset: {provider}_model_pricing and {provider}_subscriptions. They
// are created and seeded when an integration becomes VALID, and are the organisation's to
// change.
//
// A price holds from its effective date on; history is kept. A row that came with the
// product is there to be looked at: costs use rows that the organisation added or changed
// (see Store.Own), and otherwise the product's own dated tables. Amounts are exact
// decimals throughout.
//
// The package knows tables, not providers, rows of usage, or HTTP: schemas, seeds and
// names of tables are given to it. Its SQL lives in sql/.
package prices
