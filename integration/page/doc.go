// Package page looks at the status page of a running daemon in headless
// Chromium, and has what else looks at a daemon: a scraper and an OTLP receiver. The tests carry the build tag browser.
//
// Promise: a run that passes has seen the page load, update, filter, fit a
// telephone, survive a restart of the daemon, and cause no error in the console.
package page
