/* Calls what MATIEC makes of docs/gate.st, with plain arrays: fields in the order of the structures there. */

#include <stdint.h>
#include <stdlib.h>

#include "iec_std_lib.h"
#include "accessor.h"
#include "POUS.h"

TIME __CURRENT_TIME;
BOOL __DEBUG = 0;

#include "POUS.c"

GATE *gate_new(uint32_t session, const int32_t *set) {
  GATE *gate = calloc(1, sizeof *gate);
  GATE_init__(gate, 0);
  gate->SESSION.value = session;
  gate->ENCODER.value = set[0];
  gate->TRAVEL.value = set[1];
  gate->REACH.value = set[2];
  gate->MARGIN.value = set[3];
  gate->UNSURE.value = set[4];
  gate->BEAT.value = set[5];
  gate->SETTLE.value = set[6];
  gate->STAND.value = set[7];
  gate->SILENT.value = set[8];
  gate->BACKLASH.value = set[9];
  gate->GATEEYE.value = set[10];
  gate->EYESTEP.value = set[11];
  gate->CONFIRM.value = set[12];
  return gate;
}

void gate_free(GATE *gate) { free(gate); }

void gate_hear(GATE *gate, const uint32_t *rx) {
  LINEBLOCK *block = &gate->RX.value;
  block->MAPVERSION = *rx++;
  block->SEQUENCE = *rx++;
  block->HEARTBEAT = *rx++;
  block->STATE = *rx++;
  block->SESSION = *rx++;
  block->PLCSESSION = *rx++;
  block->GATEREAD = *rx++;
  for (int slot = 0; slot < 8; slot++) {
    block->RESULT.table[slot].NUMBER = *rx++;
    block->RESULT.table[slot].OUTCOME = *rx++;
    block->RESULT.table[slot].REASON = *rx++;
    block->RESULT.table[slot].CLOCKMS = *rx++;
  }
  block->JOB = *rx++;
  block->SEQUENCEEND = *rx++;
}

void gate_scan(GATE *gate, uint32_t now, const int32_t *in, uint32_t *out) {
  gate->NOW.value = now;
  gate->PHOTOEYE.value = in[0];
  gate->DRIVERUNS.value = in[1];
  gate->COUNTS.value = in[2];
  gate->EYEATGATE.value = in[3];
  gate->EYEINCHUTE.value = in[4];
  gate->RESET.value = in[5];
  GATE_body__(gate);
  *out++ = gate->PASS.value;
  *out++ = gate->STOPBELT.value;
  const PLCBLOCK *block = &gate->TX.value;
  *out++ = block->STATUS;
  *out++ = block->HEARTBEATSEEN;
  *out++ = block->PARTCOUNT;
  *out++ = block->RESULTSTAKEN;
  *out++ = block->GATECOUNT;
  for (int slot = 0; slot < 8; slot++) {
    *out++ = block->COUNTED.table[slot].NUMBER;
    *out++ = block->COUNTED.table[slot].CLOCKMS;
  }
  for (int slot = 0; slot < 8; slot++) {
    *out++ = block->DONE.table[slot].NUMBER;
    *out++ = block->DONE.table[slot].DEED;
    *out++ = block->DONE.table[slot].REASON;
  }
}
