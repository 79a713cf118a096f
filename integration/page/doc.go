// Package page looks at the status page of a running daemon in headless
// Chromium: it loads, updates, survives a restart of the daemon, and causes no
// error in the console. The tests carry the build tag browser.
package page
