// Package google simulates the parts of Google Cloud that a service account meets: the
// OAuth 2.0 token endpoint, which verifies the signed assertion, and read-only answers of
// Cloud Billing, Compute Engine and BigQuery's list of datasets.
//
// All APIs are served by one host; paths are those of the real ones. The package is for
// tests and the demo. Production code may not import it, and it must not know how the
// product signs or pages.
package google
