// Texts for people are no behaviour: the messages of log lines, and the details of errors.
import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin';

const LEVELS = ['debug', 'info', 'warn', 'error'];

function isLogMessage({ node, parent }) {
  const callee = parent?.type === 'CallExpression' ? parent.callee : undefined;
  return (
    callee?.type === 'MemberExpression' &&
    (callee.object.name ?? callee.object.property?.name) === 'log' &&
    LEVELS.includes(callee.property.name) &&
    parent.arguments[1] === node
  );
}

function isErrorDetail({ node, parent }) {
  return parent?.type === 'ObjectProperty' && parent.key.name === 'detail' && parent.value === node;
}

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, 'texts', {
    shouldIgnore(path) {
      if (!path.isStringLiteral() && !path.isTemplateLiteral()) return undefined;
      if (isLogMessage(path)) return 'The message of a log line is a text for people.';
      return isErrorDetail(path) ? 'The detail of an error is a text for people.' : undefined;
    },
  }),
];
