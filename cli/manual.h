/*
 * The manual, from the commands' own tables: the page cairn.1, the reference in docs/CLI.md and the
 * completions are this output, and a test compares.
 */
#ifndef CRN_CLI_MANUAL_H
#define CRN_CLI_MANUAL_H

void crn_cli_manual_overview(void); /* for a terminal */
void crn_cli_manual_man(void);
void crn_cli_manual_markdown(void);
void crn_cli_manual_bash(void);
void crn_cli_manual_zsh(void);

#endif
