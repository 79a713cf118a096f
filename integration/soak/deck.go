package soak

import "math/rand/v2"

// Deck deals cards from a seed: each of them once, shuffled, before any comes again.
type Deck[C any] struct {
	cards []C
	dealt int
	rand  *rand.Rand
}

// NewDeck is a deck of these cards. One that is to come more often is in it more often.
func NewDeck[C any](r *rand.Rand, cards ...C) *Deck[C] {
	return &Deck[C]{cards: cards, dealt: len(cards), rand: r}
}

// Deal is the next card.
func (d *Deck[C]) Deal() C {
	if d.dealt == len(d.cards) {
		d.dealt = 0
		d.rand.Shuffle(len(d.cards), func(i, j int) { d.cards[i], d.cards[j] = d.cards[j], d.cards[i] })
	}
	d.dealt++
	return d.cards[d.dealt-1]
}

// Rest is how many cards are left before they are shuffled again.
func (d *Deck[C]) Rest() int { return len(d.cards) - d.dealt }
