// Package doctor looks for what would keep spoold from its promise on this host
// and this cluster, and says what to do about it.
//
// Promise: it changes nothing that stays. On the disk it writes one file of its
// own, syncs it and removes it; at the cluster it only asks. Every wait is
// bounded by the context.
package doctor
