/* SPDX-License-Identifier: Apache-2.0 */
/* From identities to preference lists: Eisenbud et al., "Maglev", NSDI'16, section 3.4. */

/* All but the last step of mix(), which leaves the upper 31 bits as they are. */
static uint64_t stir(uint64_t word)
{
	word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9;
	return (word ^ word >> 27) * 0x94D049BB133111EB;
}

/* The finaliser of SplitMix64: a bijective scramble. */
static uint64_t mix(uint64_t word)
{
	word = stir(word);
	return word ^ word >> 31;
}

/* The identities, which stand one behind the other, and their keys. */
struct names {
	const uint8_t *identities;
	const uint32_t *lengths;
	size_t *places;
	const struct maglev_permutation *permutations;
};

/* Whose turn is earlier: less than 0 if `one`'s, 0 if both have the same identity. */
static int compare(const struct names *names, uint32_t one, uint32_t other)
{
	uint64_t key = names->permutations[one].key, other_key = names->permutations[other].key;

	if (key != other_key)
		return key < other_key ? -1 : 1;
	uint32_t length = names->lengths[one], other_length = names->lengths[other];
	int order = memcmp(names->identities + names->places[one],
			   names->identities + names->places[other],
			   length < other_length ? length : other_length);

	return order ? order : (length > other_length) - (length < other_length);
}

/* The sort went by the upper half of the keys only; what is equal there, is put right. */
static void take_turns(const struct names *names, const struct sorted *order,
		       uint32_t backends, uint32_t *turns, uint32_t *alike)
{
	alike[0] = alike[1] = 0;
	for (uint32_t turn = 0; turn < backends; turn++) {
		uint32_t at = turn, one = order[turn].backend;

		for (; at && order[at - 1].key == order[turn].key; at--) {
			int sign = compare(names, turns[at - 1], one);

			if (!sign) {
				alike[0] = turns[at - 1];
				alike[1] = one;
			}
			if (sign < 0)
				break;
			turns[at] = turns[at - 1];
		}
		turns[at] = one;
	}
}

int maglev_permute(const uint8_t *identities, const uint32_t *lengths, uint32_t backends,
		   uint64_t seed, uint32_t size, struct maglev_permutation *permutations,
		   uint32_t *turns, uint32_t *alike)
{
	struct sorted *order = malloc(2 * (size_t)backends * sizeof(*order));
	struct names names = {identities, lengths, malloc(backends * sizeof(*names.places)),
			      permutations};
	bool ready = order && names.places;
	size_t place = 0;

	for (uint32_t i = 0; ready && i < backends; i++) {
		XXH128_hash_t hash =
			XXH3_128bits_withSeed(identities + place, lengths[i], seed);

		permutations[i] = (struct maglev_permutation){
			.key = hash.low64,
			.offset = hash.low64 % size,
			.skip = hash.high64 % (size - 1) + 1,
		};
		order[i] = (struct sorted){hash.low64 >> 32, i};
		names.places[i] = place;
		place += lengths[i];
	}
	if (ready)
		take_turns(&names, sort(order, order + backends, backends), backends, turns,
			   alike);
	free(names.places);
	free(order);
	return ready ? 0 : MAGLEV_NO_MEMORY;
}
