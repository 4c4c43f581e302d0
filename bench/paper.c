/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo-code 1 of Eisenbud et al., "Maglev", NSDI'16, section 3.4, as it stands there: equal
 * weights, and every step reads the table, which is the mark of what is taken as well.
 *
 * Of each permutation only the current element is kept, in `next`; the one after it is a
 * skip further, modulo size. `next` has `backends` elements, `table` has `size`.
 */

void populate(const uint32_t *offsets, const uint32_t *skips, uint32_t backends,
	      uint32_t size, uint32_t *next, int32_t *table)
{
	uint32_t filled = 0;

	for (uint32_t i = 0; i < backends; i++)
		next[i] = offsets[i];
	for (uint32_t slot = 0; slot < size; slot++)
		table[slot] = -1;
	for (;;) {
		for (uint32_t i = 0; i < backends; i++) {
			uint32_t slot = next[i], skip = skips[i];

			while (table[slot] >= 0) {
				slot += skip;
				if (slot >= size)
					slot -= size;
			}
			table[slot] = i;
			slot += skip;
			next[i] = slot >= size ? slot - size : slot;
			if (++filled == size)
				return;
		}
	}
}
