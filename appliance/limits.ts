// Every bound of the builder, with its unit and its reason.

/** Of a recipe's text. Ours have two kilobytes. */
export const RECIPE_MAX_BYTES = 256 * 1024
/** Recipes that extend one another. */
export const EXTENDS_MAX = 8
/** Lines of the table of large files. */
export const LARGEST_FILES = 25
/** One Debian package's index or list that is read into memory; dpkg's status of a thousand packages has 3 MB. */
export const LISTING_MAX_BYTES = 64 * 1024 ** 2
