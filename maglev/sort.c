/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting in linear time: comparisons would take longer than the table itself. */

#define DIGITS 8
#define DIGIT_VALUES 256

struct sorted {
	uint64_t key;
	uint32_t backend;
};

static uint32_t digit_of(uint64_t key, int digit)
{
	return key >> (8 * digit) & (DIGIT_VALUES - 1);
}

/* Order by key; equal keys stay in their order. `spare` has room for as many entries. */
static void sort(struct sorted *entries, struct sorted *spare, uint32_t count)
{
	uint32_t starts[DIGITS][DIGIT_VALUES] = {0};

	for (uint32_t i = 0; i < count; i++)
		for (int digit = 0; digit < DIGITS; digit++)
			starts[digit][digit_of(entries[i].key, digit)]++;
	for (int digit = 0; digit < DIGITS; digit++) {
		if (starts[digit][digit_of(entries[0].key, digit)] == count)
			continue; /* it is the same in all keys */
		uint32_t start = 0;
		for (int value = 0; value < DIGIT_VALUES; value++) {
			uint32_t next = start + starts[digit][value];
			starts[digit][value] = start;
			start = next;
		}
		for (uint32_t i = 0; i < count; i++)
			spare[starts[digit][digit_of(entries[i].key, digit)]++] = entries[i];
		memcpy(entries, spare, count * sizeof(*entries));
	}
}
