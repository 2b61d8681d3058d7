/*
 * What an alert looks like in a chat: Slack's blocks, and an Adaptive Card for a Teams workflow.
 * Both services show what fits and refuse, or cut unsaid, what does not: every piece is cut here.
 */
#ifndef ALERT_CARDS_H
#define ALERT_CARDS_H

#include "alert/wording.h"

/*
 * {"text":..., "mrkdwn":false, "blocks":[header, section, section with fields, actions, context]}:
 * `text` is what a notification shows. All is plain text, and & < > are escaped as Slack asks for,
 * so `<!channel>` in a subject does not ring.
 */
void cards_slack(struct wording *w, const struct channel_note *note, struct buf *out);
/*
 * {"type":"message","attachments":[an Adaptive Card 1.4]}, as the workflow "post to a channel when
 * a webhook request is received" takes it. Texts of strangers are in TextRuns, which no Markdown is
 * read from; less than 28 KB.
 */
void cards_teams(struct wording *w, const struct channel_note *note, struct buf *out);

#endif
