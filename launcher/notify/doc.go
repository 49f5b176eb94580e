// Package notify tells people how a run ended: by e-mail and in Slack, as the hooks of a
// pipeline and the settings of an organisation ask for it.
//
// It is called once for each run that has ended; that it is once, across processes, is its
// caller's doing. It never fails a run. What comes from outside (texts of providers, names
// of steps) may not become a header, HTML, or Slack markup. The package knows neither
// Beam, nor documents, nor where settings and texts come from.
package notify
