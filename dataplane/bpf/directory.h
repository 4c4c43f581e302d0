/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Finding an endpoint: a hash table with open addressing, linear probing, in `directory`.
 *
 * A word of it is 0 (nobody was ever here: the search ends), or has an endpoint's hash in its
 * upper half and the index of its entry in the lower one. The controller (directory.py) writes
 * an entry where nobody looks and then the word, at once, so that no packet sees half of it.
 */

/*
 * Multilinear hashing (Lemire and Kaser, The Computer Journal 57, 2014): the products do not
 * wait for each other, and the upper half of their sum is universal. directory.py has the same.
 */
static __always_inline u32 hash_endpoint(const struct gw_endpoint *endpoint)
{
	const __be32 *word = endpoint->address.word;
	u64 sum = GW_HASH_FIRST * word[0] + GW_HASH_SECOND * word[1];

	sum += GW_HASH_THIRD * word[2] + GW_HASH_FOURTH * word[3];
	sum += GW_HASH_FIFTH * *(__u32 *)&endpoint->port; /* and protocol and role */
	return sum >> 32;
}

/* Verifier: one branch and not four, so that there are fewer ways to walk. */
static __always_inline bool is_equal(const struct gw_address *one, const struct gw_address *other)
{
	return !((one->word[0] ^ other->word[0]) | (one->word[1] ^ other->word[1]) |
		 (one->word[2] ^ other->word[2]) | (one->word[3] ^ other->word[3]));
}

static __always_inline bool
is_same_endpoint(const struct gw_endpoint *one, const struct gw_endpoint *other)
{
	return is_equal(&one->address, &other->address) &
	       (*(__u32 *)&one->port == *(__u32 *)&other->port);
}

/* The entry of an endpoint; NULL if it has none. */
static __always_inline struct gw_entry *find_entry(const struct gw_endpoint *endpoint)
{
	u32 hash = hash_endpoint(endpoint);

#pragma nounroll
	for (u32 i = 0; i < GW_DIRECTORY_REACH; i++) {
		u32 place = (hash + i) % LIMIT_DIRECTORY;
		u64 *word = directory.lookup(&place);

		if (!word || !*word)
			return NULL;
		if (*word >> 32 != hash)
			continue;

		u32 index = *word;
		struct gw_entry *entry = endpoints.lookup(&index);

		if (entry && is_same_endpoint(&entry->endpoint, endpoint))
			return entry;
	}
	return NULL;
}
