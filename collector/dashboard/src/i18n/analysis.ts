/** Texts that the pages OEE, Maintenance and Energy share. */

const en = {
  'analysis.scope': 'Site, area, line or machine',
  'analysis.numbers': 'Numbers behind it',
  'analysis.cut': 'The first {n} of {all} rows.',
  'analysis.no_data': 'no data',
  'analysis.chart_keys': 'The arrow keys move the cursor, the numbers stand in the table below.',
  'analysis.whole_plant': 'Whole plant',
  'analysis.comment': 'Comment',
  'analysis.save': 'Save',
  'analysis.saved': 'Saved.',
  'analysis.refused': 'Not saved: {reason}',

  'period.shift': 'Shift',
  'period.day': 'Day',
  'period.week': 'Week',
  'period.month': 'Month',
  'period.custom': 'From – to',
  'period.running': 'so far',
  'period.now': 'To now',
};

const pt: Record<keyof typeof en, string> = {
  'analysis.scope': 'Fábrica, área, linha ou máquina',
  'analysis.numbers': 'Os números',
  'analysis.cut': 'As primeiras {n} de {all} linhas.',
  'analysis.no_data': 'sem dados',
  'analysis.chart_keys': 'As setas movem o cursor; os números estão na tabela abaixo.',
  'analysis.whole_plant': 'Toda a fábrica',
  'analysis.comment': 'Comentário',
  'analysis.save': 'Guardar',
  'analysis.saved': 'Guardado.',
  'analysis.refused': 'Não foi guardado: {reason}',

  'period.shift': 'Turno',
  'period.day': 'Dia',
  'period.week': 'Semana',
  'period.month': 'Mês',
  'period.custom': 'De – até',
  'period.running': 'até agora',
  'period.now': 'Agora',
};

export type AnalysisKey = keyof typeof en;
export const texts = { en, pt };
