/*
 * Reads and writes manifest.json. See manifest.h. Called by cli/export.c and cli/import.c. Hostile:
 * whoever hands over an export may have written anything into it.
 */
#include "cli/manifest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { ID_LENGTH = 26, FORMAT = 1 };

struct manifest {
	FILE *file;
	struct buf line;
	uint64_t number; /* of the line, from 1 */
	json_t *head;
	json_t *message;
	char last_id[ID_LENGTH + 1];
	uint64_t count;
	bool last_had_comma, ended;
};

static bool fail(const struct manifest *m, struct buf *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Always false. */
static bool
fail(const struct manifest *m, struct buf *error, const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		fatal("out of memory");
	va_end(ap);
	buf_printf(error, "manifest.json, line %" PRIu64 ": %s", m->number, text);
	free(text);
	return false;
}

/* A line without its end. False at the end of the file, or where it is too long. */
static bool
read_line(struct manifest *m, struct buf *error)
{
	int c = EOF;

	m->number++;
	buf_clear(&m->line);
	while (m->line.len < MANIFEST_LINE_MAX && (c = getc_unlocked(m->file)) != EOF && c != '\n')
		buf_add_char(&m->line, (char)c);
	if (c == '\n')
		return true;
	if (m->line.len >= MANIFEST_LINE_MAX)
		return fail(m, error, "it has more than %d MB", MANIFEST_LINE_MAX >> 20);
	return fail(m, error, "the file ends here; it is not whole");
}

static bool
ends_with(const struct buf *line, const char *end)
{
	size_t n = strlen(end);

	return line->len >= n && memcmp(line->data + line->len - n, end, n) == 0;
}

static json_t *
parse(const char *text, size_t len)
{
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

/* ---- reading */

static bool
read_head(struct manifest *m, struct buf *error)
{
	struct buf whole = {0};

	if (!read_line(m, error))
		return false;
	if (!ends_with(&m->line, "\"messages\":["))
		return fail(m, error, "this is no manifest of mailfuse export");
	buf_add(&whole, m->line.data, m->line.len);
	buf_add_text(&whole, "]}");
	m->head = parse(whole.data, whole.len);
	buf_free(&whole);
	if (m->head == NULL)
		return fail(m, error, "this is no manifest of mailfuse export");
	if (field_count(m->head, "mailfuse_export") != FORMAT)
		return fail(m, error,
			    "it is of another version of mailfuse export; import it with that one");
	if (!json_is_object(json_object_get(m->head, "batch")))
		return fail(m, error, "it has no batch");
	return true;
}

struct manifest *
manifest_open(FILE *file, struct buf *error)
{
	struct manifest *m = mem_zalloc(sizeof(*m));

	m->file = file;
	m->last_had_comma = true;
	if (read_head(m, error))
		return m;
	manifest_close(m);
	return NULL;
}

void
manifest_close(struct manifest *m)
{
	if (m == NULL)
		return;
	json_decref(m->head);
	json_decref(m->message);
	buf_free(&m->line);
	free(m);
}

const json_t *
manifest_batch(const struct manifest *m)
{
	return json_object_get(m->head, "batch");
}

static bool
is_made_of(const char *text, const char *letters, size_t length)
{
	return strlen(text) == length && strspn(text, letters) == length;
}

/* The file's name is made of the id alone, which has letters and digits only: no path. */
static bool
check_file(struct manifest *m, const json_t *o, struct buf *error)
{
	const char *id = field_text(o, "id"), *file = field_text(o, "file");
	const json_t *bytes = json_object_get(o, "bytes");

	if (!is_made_of(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", ID_LENGTH))
		return fail(m, error, "id: \"%s\" is no message's id", screen_text(id));
	if (strcmp(id, m->last_id) <= 0)
		return fail(m, error, "message %s is there twice, or not in its place", id);
	if (strncmp(file, id, ID_LENGTH) != 0 || strcmp(file + ID_LENGTH, ".eml") != 0)
		return fail(m, error, "file: \"%s\" is not %s.eml", screen_text(file), id);
	if (!is_made_of(field_text(o, "sha256"), "0123456789abcdef", MANIFEST_HASH_BYTES - 1))
		return fail(m, error, "sha256 is none");
	if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
		return fail(m, error, "bytes is no count");
	memcpy(m->last_id, id, sizeof(m->last_id));
	return true;
}

static bool
check_deliveries(struct manifest *m, const json_t *o, struct buf *error)
{
	json_t *list = json_object_get(o, "deliveries"), *d;
	json_int_t last = 0;
	size_t i;

	if (json_array_size(list) == 0)
		return fail(m, error, "the message has no deliveries");
	json_array_foreach(list, i, d)
	{
		json_int_t number = json_integer_value(json_object_get(d, "number"));

		if (number <= last || number > UINT32_MAX)
			return fail(m, error, "deliveries: their numbers do not rise from 1");
		last = number;
		if (*field_text(d, "recipient") == '\0' || *field_text(d, "state") == '\0')
			return fail(m, error, "deliveries: one has no recipient or no state");
	}
	return true;
}

/* The last line. */
static bool
check_end(struct manifest *m, struct buf *error)
{
	struct buf whole = {0};
	json_t *end;
	bool good;

	buf_add_text(&whole, "{\"messages\":[");
	buf_add(&whole, m->line.data, m->line.len);
	end = parse(whole.data, whole.len);
	buf_free(&whole);
	good = end != NULL && json_is_integer(json_object_get(end, "count")) &&
	       json_array_size(json_object_get(end, "messages")) == 0;
	if (good && (uint64_t)field_count(end, "count") != m->count) {
		json_decref(end);
		return fail(m, error, "it has %" PRIu64 " messages, and says that there are others",
			    m->count);
	}
	json_decref(end);
	if (!good)
		return fail(m, error, "this is no line of a manifest");
	if (m->last_had_comma && m->count > 0)
		return fail(m, error, "a message is missing before it");
	if (getc_unlocked(m->file) != EOF)
		return fail(m, error, "the file goes on behind its end");
	m->ended = true;
	return true;
}

const json_t *
manifest_next(struct manifest *m, struct buf *error)
{
	size_t len;
	bool comma;

	json_decref(m->message);
	m->message = NULL;
	if (m->ended || !read_line(m, error))
		return NULL;
	if (m->line.len > 0 && m->line.data[0] == ']') {
		check_end(m, error);
		return NULL;
	}
	comma = ends_with(&m->line, ",");
	len = m->line.len - comma;
	m->message = len > 0 ? parse(m->line.data, len) : NULL;
	if (m->message == NULL || !m->last_had_comma) {
		fail(m, error, "this is no line of a manifest as mailfuse export writes it");
		return NULL;
	}
	m->last_had_comma = comma;
	m->count++;
	if (!check_file(m, m->message, error) || !check_deliveries(m, m->message, error))
		return NULL;
	return m->message;
}

/* ---- writing */

static bool
write_json(FILE *file, const json_t *value)
{
	return json_dumpf(value, file, JSON_COMPACT) == 0;
}

bool
manifest_write_head(FILE *file, const char *exported_at, const json_t *batch)
{
	return fprintf(file, "{\"mailfuse_export\":%d,\"exported_at\":\"%s\",\"batch\":", FORMAT,
		       exported_at) > 0 &&
	       write_json(file, batch) && fputs(",\"messages\":[\n", file) >= 0;
}

bool
manifest_write_message(FILE *file, const json_t *message, uint64_t number)
{
	return (number == 0 || fputs(",\n", file) >= 0) && write_json(file, message);
}

bool
manifest_write_end(FILE *file, uint64_t count)
{
	return fprintf(file, "%s],\"count\":%" PRIu64 "}\n", count > 0 ? "\n" : "", count) > 0;
}

/* ---- hashes */

struct manifest_hash *
manifest_hash_new(void)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		fatal("SHA-256 is not available");
	return (struct manifest_hash *)(void *)md;
}

void
manifest_hash_add(struct manifest_hash *h, const void *data, size_t len)
{
	if (EVP_DigestUpdate((EVP_MD_CTX *)(void *)h, data, len) != 1)
		fatal("SHA-256 failed");
}

void
manifest_hash_end(struct manifest_hash *h, char out[MANIFEST_HASH_BYTES])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned i, len = 0;

	if (EVP_DigestFinal_ex((EVP_MD_CTX *)(void *)h, hash, &len) != 1)
		fatal("SHA-256 failed");
	EVP_MD_CTX_free((EVP_MD_CTX *)(void *)h);
	for (i = 0; i < len && 2 * i + 2 < MANIFEST_HASH_BYTES; i++)
		snprintf(out + 2 * (size_t)i, 3, "%02x", hash[i]);
}
