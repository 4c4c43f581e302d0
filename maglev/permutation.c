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

static int compare(const uint8_t *identities, const uint32_t *lengths, const size_t *places,
		   uint32_t one, uint32_t other)
{
	size_t common = lengths[one] < lengths[other] ? lengths[one] : lengths[other];
	int order = memcmp(identities + places[one], identities + places[other], common);

	if (order)
		return order;
	return (lengths[one] > lengths[other]) - (lengths[one] < lengths[other]);
}

int maglev_permute(const uint8_t *identities, const uint32_t *lengths, uint32_t backends,
		   uint64_t seed, uint32_t size, struct maglev_permutation *permutations,
		   uint32_t *turns, uint32_t *twins)
{
	struct sorted *order = malloc(2 * (size_t)backends * sizeof(*order));
	size_t *places = malloc(backends * sizeof(*places));
	int result = MAGLEV_NO_MEMORY;
	size_t place = 0;

	if (!order || !places)
		goto out;
	for (uint32_t i = 0; i < backends; i++) {
		XXH128_hash_t hash =
			XXH3_128bits_withSeed(identities + place, lengths[i], seed);

		permutations[i] = (struct maglev_permutation){
			.key = hash.low64,
			.offset = hash.low64 % size,
			.skip = hash.high64 % (size - 1) + 1,
		};
		order[i] = (struct sorted){hash.low64, i};
		places[i] = place;
		place += lengths[i];
	}
	sort(order, order + backends, backends);

	twins[0] = twins[1] = 0;
	for (uint32_t turn = 0; turn < backends; turn++) {
		uint32_t at = turn, one = order[turn].backend;

		/* Equal keys are as good as never seen; the identity decides between them. */
		for (; at && order[at - 1].key == order[turn].key; at--) {
			int sign = compare(identities, lengths, places, turns[at - 1], one);

			if (!sign) {
				twins[0] = turns[at - 1];
				twins[1] = one;
			}
			if (sign < 0)
				break;
			turns[at] = turns[at - 1];
		}
		turns[at] = one;
	}
	result = 0;
out:
	free(places);
	free(order);
	return result;
}
