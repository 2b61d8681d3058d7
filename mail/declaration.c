/*
 * Declarations of a campaign and its audience: read strictly, because a limit hangs on them. What
 * cannot be read is refused while the application still listens, rather than guessed. Called by
 * message.c on the message's loop; texts are static or the message's arena's.
 */
#include "mail/declaration.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mail/mime.h"

static const char campaign_name[] = "X-Mailfuse-Campaign";
static const char audience_name[] = "X-Mailfuse-Audience";

/* True if a byte of it is a control character, which mime_decode_text() would make a blank; but a
 * tab may be where a line was folded (RFC 5322 2.2.3), and is one. */
static bool
has_control(const char *value)
{
	for (; *value != '\0'; value++) {
		if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
			return true;
	}
	return false;
}

/* What is wrong with the id; NULL and *out, in the arena, if nothing. */
static const char *
campaign_read(const char *value, struct arena *arena, const char **out)
{
	const char *id = mime_decode_text(value, arena);

	if (text_is_blank(id))
		return "X-Mailfuse-Campaign is empty; send the campaign's id or leave the field "
		       "out";
	if (has_control(value) || !text_is_clean(id, strlen(id)))
		return "X-Mailfuse-Campaign has a control character in it; send an id of visible "
		       "characters";
	if (strlen(id) > MESSAGE_CAMPAIGN_MAX)
		return "X-Mailfuse-Campaign is longer than 200 bytes; send a shorter id";
	*out = id;
	return NULL;
}

/* What is wrong with the number; NULL and *out if nothing. */
static const char *
audience_read(const char *value, uint32_t *out)
{
	uint64_t number = 0;
	const char *c;

	if (text_is_blank(value))
		return "X-Mailfuse-Audience is empty; send the number of recipients or leave the "
		       "field out";
	for (c = value; *c >= '0' && *c <= '9'; c++) {
		if (number <= UINT32_MAX)
			number = 10 * number + (uint64_t)(*c - '0');
	}
	if (*c != '\0')
		return "X-Mailfuse-Audience is no whole number; send the number of recipients in "
		       "digits only, such as 300";
	if (number == 0)
		return "X-Mailfuse-Audience is 0; send the number of recipients, from 1 to "
		       "4294967295";
	if (number > UINT32_MAX)
		return "X-Mailfuse-Audience is too large; send the number of recipients, from 1 to "
		       "4294967295";
	*out = (uint32_t)number;
	return NULL;
}

/* The next declaration of that kind: kept if it is the first, refused if it is another one. */
static const char *
campaign_take(struct message *m, const char *value)
{
	const char *id, *error = campaign_read(value, &m->arena, &id);

	if (error != NULL)
		return error;
	if (*m->campaign == '\0')
		m->campaign = id;
	return strcmp(m->campaign, id) == 0
		   ? NULL
		   : "X-Mailfuse-Campaign is there twice with different ids; send it once";
}

static const char *
audience_take(struct message *m, const char *value)
{
	const char *error;
	uint32_t number;

	error = audience_read(value, &number);
	if (error != NULL)
		return error;
	if (m->audience == 0)
		m->audience = number;
	return m->audience == number
		   ? NULL
		   : "X-Mailfuse-Audience is there twice with different numbers; send it once";
}

void
declaration_read(struct message *m, const struct header *h)
{
	const char *error = NULL;
	size_t i;

	m->campaign = "";
	m->audience = 0;
	for (i = 0; i < h->count && error == NULL; i++) {
		const struct header_field *f = &h->fields[i];

		if (strcasecmp(f->name, campaign_name) == 0)
			error = campaign_take(m, header_value(h, f));
		else if (strcasecmp(f->name, audience_name) == 0)
			error = audience_take(m, header_value(h, f));
	}
	if (error == NULL && m->audience > 0 && *m->campaign == '\0')
		error = "X-Mailfuse-Audience needs X-Mailfuse-Campaign; send both or neither";
	m->declaration_error = error;
}
