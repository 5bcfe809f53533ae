/*
 * cairn/cairn.h: all of Cairn's public interface.
 *
 *   status.h     what calls answer
 *   db.h         databases, collections, maintenance
 *   pattern.h    writing and reading patterns
 *   search.h     nearest patterns by vector and text
 *   reasoning.h  retrieveWithReasoning, memory optimization, trajectories
 *   embed.h      text to vector
 */
#ifndef CAIRN_CAIRN_H
#define CAIRN_CAIRN_H

#include <cairn/db.h>
#include <cairn/embed.h>
#include <cairn/pattern.h>
#include <cairn/reasoning.h>
#include <cairn/search.h>
#include <cairn/status.h>

#endif
