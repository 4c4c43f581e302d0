/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table's arithmetic: what the C compiler and cffi both read, and what twin.py says
 * again in plain Python. The callers in table.py and overlay.py check all arguments; here
 * nothing is checked. 0 means that all went well, MAGLEV_NO_MEMORY that nothing was done.
 *
 * Arrays have one element for each backend unless the comment says something else. A
 * backend is its index in them; there are at most 65,535.
 */

#define MAGLEV_NOBODY -1
#define MAGLEV_NO_MEMORY -1

/* A backend's preference list over the slots, and what tells it from others. */
struct maglev_permutation {
	uint64_t key;
	uint32_t offset; /* the slot that it wants most: 0...size-1 */
	uint32_t skip;   /* from one wish to the next, modulo size: 1...size-1 */
};

/* Whether a backend can serve. */
enum maglev_state {
	MAGLEV_UP = 0,
	MAGLEV_BACK = 1, /* up, and it was down before */
	MAGLEV_DOWN = 2,
};

/*
 * Fill in permutations and turns from the identities, which stand one behind the other.
 * `turns` lists the backends in the order in which they claim slots. `alike` gets two
 * backends of equal identity, or twice the same backend if there are none.
 */
int maglev_permute(const uint8_t *identities, const uint32_t *lengths, uint32_t backends,
		   uint64_t seed, uint32_t size, struct maglev_permutation *permutations,
		   uint32_t *turns, uint32_t *alike);

/* Fill in the owner of each slot of `table`. At least one weight is not 0. */
int maglev_build(const struct maglev_permutation *permutations, const uint32_t *turns,
		 const uint16_t *weights, uint32_t backends, uint32_t size, int32_t *table);

/*
 * Fill in `table`, the overlay of `base` for `states`. `before` is an overlay of it too, to
 * which the states refer; all three have `size` slots. If there are `zones`, a slot goes to
 * another zone than its owner's where one is up.
 */
int maglev_overlay(const struct maglev_permutation *permutations, const uint32_t *turns,
		   const uint16_t *weights, const uint32_t *zones, const uint8_t *states,
		   uint32_t backends, const int32_t *base, const int32_t *before, uint32_t size,
		   int32_t *table);
